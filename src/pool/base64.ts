/** Bytes as text in JSON. `btoa` and `atob` are what Node and browsers have in common. */

/** Arguments that a call is given at once. */
const CHUNK = 4096;

/** The bytes of a view, as base64 with its padding (RFC 4648, §4). */
export function toBase64({ buffer, byteOffset, byteLength }: ArrayBufferView): string {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  let binary = "";
  for (let i = 0; i < bytes.length; i += CHUNK)
    binary += String.fromCharCode(...bytes.subarray(i, i + CHUNK));
  return btoa(binary);
}

/** The bytes of such a text. Throws for what is none. */
export function fromBase64(text: string): ArrayBuffer {
  // atob would read "undefined" and the like
  if (typeof text !== "string") throw new TypeError(`no base64: ${text}`);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes.buffer;
}
