/** What a model says of the edges of a forest: the one way from tokens to log-probs that all training takes. */
import { type CausalLM, lmHead, type Tensor, take } from "../../../engine/index.ts";
import type { EdgeTensors } from "./padded-batch.ts";

/** Options of {@link forestLogprobs}. */
export interface ForestLogprobsOptions {
  /** Logits are divided by it: the temperature that the tokens were drawn at. Default 1. */
  readonly temperature?: number;
}

/** What {@link forestLogprobs} gives, all differentiable. */
export interface ForestLogprobs {
  /** Log-prob of each edge's token, 0 at padding [E]. */
  readonly logprobs: Tensor;
  /** Entropy of the distribution that it is read from, in nats [E]; padding has that of its row. */
  readonly entropies: Tensor;
  /** What the head sees at each edge's row, for other heads than that of the vocabulary [E, C]. */
  readonly hidden: Tensor;
}

/**
 * Log-prob, entropy and hidden row of each edge of a padded batch. Only rows of edges go through the head.
 *
 * Shapes    tokens, end, depth [T], rows, targets [E] u32.
 * Errors    `index_out_of_range` at the next read, for a token beyond the vocabulary.
 */
export function forestLogprobs(
  { transformer }: Pick<CausalLM, "transformer">,
  { tokens, end, depth, rows, targets }: EdgeTensors,
  { temperature = 1 }: ForestLogprobsOptions = {},
): ForestLogprobs {
  const { logitSoftcap } = transformer.options;
  const hidden = take(transformer.hidden(tokens, { end, depth }), rows);
  const { logprob, entropy } = lmHead(hidden, transformer.head, targets, {
    temperature,
    ...(logitSoftcap ? { softcap: logitSoftcap } : {}),
  });
  return { logprobs: logprob, entropies: entropy, hidden };
}
