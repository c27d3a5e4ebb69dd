/** Forms of the policy's loss and of the divergence in it: types only, so that algorithms need no GPU. */
export type { KlKind, PolicyLossForm } from "../../../engine/index.ts";
