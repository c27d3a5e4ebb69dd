/** What tells whether a small message is as it was sent: TCP's own sum lets one broken segment of 65,536 pass. */
import { crc32 } from "node:zlib";

/** Characters of a checksum. */
export const CHECKSUM = 8;

/** CRC-32 of bytes, or of the UTF-8 of a text: hexadecimal digits. It finds accidents, and no malice. */
export function checksumOf(bytes: string | Uint8Array): string {
  return crc32(bytes).toString(16).padStart(CHECKSUM, "0");
}
