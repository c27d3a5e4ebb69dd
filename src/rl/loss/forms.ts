/** Forms of the policy's loss and of the divergence in it: the kernel's, as the rest of this folder's neighbours name them. */
export type { KlKind, PolicyLossForm } from "../../../engine/index.ts";
