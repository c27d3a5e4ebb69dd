/**
 * The ring of training peers. It knows bytes and peers, not models.
 */

export { PROTOCOL_VERSION } from "./protocol/version.ts";
export { RingPlan, type RingShape } from "./ring/plan.ts";
export type { ElementRange } from "./ring/segments.ts";
export { allocateMemory, type WasmMemory } from "./ring/wasm.ts";
export { BLOCK, bytesOf, WIRE_TYPES, type WireType } from "./ring/wire-type.ts";
export { type Phases, type Places, Workspace } from "./ring/workspace.ts";
export { RingPlane, type RingPlaneOptions } from "./ring-plane/ring-plane.ts";
export { RingThreads, type RingThreadsOptions } from "./ring-plane/ring-threads.ts";
export { Token } from "./transport/token.ts";
