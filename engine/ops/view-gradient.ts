/** The gradients of views: the reverse movement. Apart from `view.ts`, since they need reductions and padding. */
import { movementOf, type Node, type Op, type Tensor, viewOp } from "../tensor/tensor.ts";
import { pad } from "./concat.ts";
import { sumTo } from "./sum-to.ts";
import { permute, reshape } from "./view.ts";

(viewOp as { gradient?: Op["gradient"] }).gradient = gradient;

function gradient(node: Node, douts: readonly (Tensor | undefined)[]): (Tensor | undefined)[] {
  const [x] = node.inputs as readonly [Tensor];
  const dy = douts[0];
  if (!dy) return [undefined];
  const movement = movementOf(node);
  switch (movement.kind) {
    case "reshape":
      return [reshape(dy, x.shape)];
    case "permute": {
      const inverse = new Array<number>(x.rank);
      movement.axes.forEach((a, i) => {
        inverse[a] = i;
      });
      return [permute(dy, inverse)];
    }
    case "expand":
      return [sumTo(dy, x.shape)];
    case "slice":
      return [
        pad(
          dy,
          x.shape.map((s, i) => {
            const before = movement.starts[i] ?? 0;
            return [before, s - before - (dy.shape[i] ?? 0)];
          }),
        ),
      ];
  }
}
