/**
 * The ring of training peers. It knows bytes and peers, not models.
 */

/**
 * Version of the wire protocol between peers. Two peers join only when theirs are equal.
 */
export const PROTOCOL_VERSION = 1;
