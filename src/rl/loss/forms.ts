/** Forms of the policy's loss and of the divergence in it: those of the engine's kernel. */
export type { KlKind, PolicyLossForm } from "../../../engine/index.ts";
