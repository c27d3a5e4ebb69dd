/** Several files as one: a ZIP archive, in which nothing is compressed, since weights hardly can be. */

/** Longest name and size that the plain format holds. */
const MOST_BYTES = 2 ** 32 - 1;

/** The archive of some files, by their paths. Errors: when it would be larger than 4 GiB. */
export function zip(files: Readonly<Record<string, Uint8Array>>): Uint8Array<ArrayBuffer> {
  const local: Uint8Array[] = [];
  const central: Uint8Array[] = [];
  let offset = 0;
  for (const [path, bytes] of Object.entries(files)) {
    const name = new TextEncoder().encode(path);
    const entry = entryOf(name, bytes);
    const head = joined([words([0x04034b50, 4]), entry, words([name.length, 2], [0, 2]), name]);
    central.push(
      joined([
        words([0x02014b50, 4], [20, 2]),
        entry,
        words([name.length, 2], [0, 2], [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]),
        name,
      ]),
    );
    local.push(head, bytes);
    offset += head.length + bytes.length;
  }
  const directory = joined(central);
  if (offset + directory.length > MOST_BYTES) throw new Error("The files are too large for a ZIP.");
  const count = central.length;
  const end = words(
    ...[word(0x06054b50, 4), word(0, 2), word(0, 2), word(count, 2), word(count, 2)],
    ...[word(directory.length, 4), word(offset, 4), word(0, 2)],
  );
  return joined([...local, directory, end]);
}

type Word = readonly [value: number, bytes: number];

function word(value: number, bytes: number): Word {
  return [value, bytes];
}

/** What both heads of a file say: version, names in UTF-8, stored, midnight of 1 January 1980, checksum and sizes. */
function entryOf(name: Uint8Array, bytes: Uint8Array): Uint8Array {
  if (name.length > 0xffff) throw new Error("A name is too long for a ZIP.");
  return words(
    ...[word(20, 2), word(0x0800, 2), word(0, 2), word(0, 2), word(0x0021, 2)],
    ...[word(crc32(bytes), 4), word(bytes.length, 4), word(bytes.length, 4)],
  );
}

/** Numbers, the lowest byte first. */
function words(...all: readonly Word[]): Uint8Array {
  return Uint8Array.from(
    all.flatMap(([value, bytes]) => Array.from({ length: bytes }, (_, i) => value / 256 ** i)),
  );
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? 0xedb88320 ^ (rest >>> 1) : rest >>> 1;
  return rest;
});

/** The checksum of ISO 3309, as ZIP wants it. */
function crc32(bytes: Uint8Array): number {
  let rest = 0xffffffff;
  for (const byte of bytes) rest = (CRC_TABLE[(rest ^ byte) & 0xff] as number) ^ (rest >>> 8);
  return (rest ^ 0xffffffff) >>> 0;
}
