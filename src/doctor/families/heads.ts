/** The ends of a language model: embedding, LM head, cross-entropy. */
import { crossEntropy, embedding, lmHead, tensor } from "../../../engine/index.ts";
import { affine, div, dot, exp, log, rowsOf, type Scalar, sub, sum, tanh } from "../scalar.ts";
import { differentiable, operands, type SelfTest } from "../self-test.ts";

const ROWS = 21;
const WIDTH = 16;

/** The tests. */
export function headTests(): SelfTest[] {
  return [
    embeddingTest(),
    lmHeadTest("wide vocabulary", 68, {}),
    lmHeadTest("odd vocabulary, soft cap, temperature, chunks", 37, {
      softcap: 3,
      temperature: 0.7,
      chunkRows: 8,
    }),
    crossEntropyTest("wide vocabulary", 68),
    crossEntropyTest("odd vocabulary", 37),
  ];
}

/** Ids with repetitions: gradients of a row are sums. */
function embeddingTest(): SelfTest {
  const ids = Uint32Array.from({ length: 50 }, (_, i) => (i * i) % 13);
  return differentiable({
    family: "embedding",
    name: "repeated ids",
    inputs: operands({ table: [13, WIDTH] }),
    engine: ({ table }) => embedding(tensor(ids), table),
    definition: ({ table }) => {
      const rows = rowsOf(table, WIDTH);
      return [...ids].flatMap((id) => rows[id] as Scalar[]);
    },
  });
}

/** The last row has no label. */
function labelsOf(vocab: number): Uint32Array<ArrayBuffer> {
  const labels = Uint32Array.from({ length: ROWS }, (_, i) => (i * 7) % vocab);
  labels[ROWS - 1] = 0xffff_ffff;
  return labels;
}

interface HeadOptions {
  readonly softcap?: number;
  readonly temperature?: number;
  readonly chunkRows?: number;
}

function lmHeadTest(name: string, vocab: number, options: HeadOptions): SelfTest {
  const { softcap = 0, temperature = 1 } = options;
  const labels = labelsOf(vocab);
  return differentiable({
    family: "LM head",
    name,
    inputs: operands({ hidden: [ROWS, WIDTH], weight: [vocab, WIDTH] }),
    engine: ({ hidden, weight }) => {
      const head = lmHead(hidden, weight, tensor(labels), options);
      return [head.logprob, head.lse, head.entropy];
    },
    definition: ({ hidden, weight }) => {
      const columns = rowsOf(weight, WIDTH);
      const rows = rowsOf(hidden, WIDTH).map((row, r) => {
        const scores = columns.map((column) => {
          const logit = dot(row, column);
          const capped = softcap > 0 ? affine(tanh(affine(logit, 1 / softcap)), softcap) : logit;
          return affine(capped, 1 / temperature);
        });
        return rowResults(scores, labels[r] ?? 0);
      });
      return [rows.map((r) => r.logprob), rows.map((r) => r.lse), rows.map((r) => r.entropy)];
    },
  });
}

function rowResults(
  scores: readonly Scalar[],
  label: number,
): { logprob: Scalar; lse: Scalar; entropy: Scalar } {
  const powers = scores.map(exp);
  const total = sum(powers);
  const lse = log(total);
  const mean = div(dot(powers, scores), total);
  const chosen = scores[label];
  const logprob = chosen ? sub(chosen, lse) : affine(lse, 0);
  return { logprob, lse, entropy: sub(lse, mean) };
}

function crossEntropyTest(name: string, vocab: number): SelfTest {
  const labels = labelsOf(vocab);
  return differentiable({
    family: "cross-entropy",
    name,
    inputs: operands({ logits: [ROWS, vocab] }),
    engine: ({ logits }) => crossEntropy(logits, tensor(labels)),
    definition: ({ logits }) => {
      const losses = rowsOf(logits, vocab).map((row, r) => rowResults(row, labels[r] ?? 0).logprob);
      return [affine(sum(losses), -1 / (ROWS - 1))];
    },
  });
}
