/**
 * Version of the wire protocol between peers. Two peers join only when theirs are equal.
 */
export const PROTOCOL_VERSION = 1;
