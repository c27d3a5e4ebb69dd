/**
 * The ring of training peers. It knows bytes and peers, not models.
 */

export { PROTOCOL_VERSION } from "./protocol/version.ts";
