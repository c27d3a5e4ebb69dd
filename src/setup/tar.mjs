/** A reader of tar archives, for the few that the set-up unpacks. */

/**
 * @typedef {object} TarEntry
 * @property {string} name its path in the archive
 * @property {number} mode its permission bits
 * @property {Buffer} data
 */

/**
 * The regular files of an uncompressed tar archive (ustar). Long-name extensions are not read: our archives have none.
 *
 * @param {Buffer} archive
 * @returns {Generator<TarEntry>}
 */
export function* tarFiles(archive) {
  const text = (/** @type {number} */ from, /** @type {number} */ length) =>
    archive.toString("latin1", from, from + length).replace(/\0.*$/s, "");
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12), 8);
    const mode = Number.parseInt(text(at + 100, 8), 8);
    const kind = text(at + 156, 1);
    const prefix = text(at + 345, 155);
    const name = (prefix && `${prefix}/`) + text(at, 100);
    if (!Number.isInteger(size) || at + 512 + size > archive.length) {
      throw new Error(`tar: the archive is torn at byte ${at} ("${name}")`);
    }
    if (kind === "0" || kind === "") {
      yield { name, mode, data: archive.subarray(at + 512, at + 512 + size) };
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
}
