/**
 * The engine's front door: re-exports only.
 */
export { type ErrorCode, type ErrorParts, ForgeError } from "./error.ts";
