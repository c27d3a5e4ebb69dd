import { describe, expect, test } from "vitest";
import { Graph, keyOf, type Schedule, schedule } from "../../../engine/graph/schedule.ts";
import {
  add,
  exp,
  matmul,
  mul,
  neg,
  relu,
  sum,
  type Tensor,
  tensor,
  transpose,
} from "../../../engine/index.ts";
import type { Node } from "../../../engine/tensor/tensor.ts";

const NONE: ReadonlySet<string> = new Set();

function data(...shape: number[]): Tensor {
  return tensor(new Float32Array(shape.reduce((n, s) => n * s, 1)), shape);
}

interface Scheduled extends Schedule {
  readonly graph: Graph;
  isStored(t: Tensor): boolean;
}

function scheduled(roots: readonly Tensor[], maxLeaves = 7, unfused = NONE): Scheduled {
  const graph = new Graph(roots);
  const plan = schedule(
    graph,
    roots.map((t) => graph.canonical(t)),
    { maxLeaves, forced: NONE, unfused },
  );
  return { ...plan, graph, isStored: (t) => plan.stored.has(keyOf(graph.canonical(t))) };
}

describe("Graph", () => {
  test("merges equal expressions of one tensor, and not those of others", () => {
    const [x, y] = [data(4), data(4)];
    const graph = new Graph([add(exp(x), exp(x)), exp(y)]);
    expect(graph.nodes.filter((n) => n.op.name === "exp")).toHaveLength(2);
  });

  test("keeps apart what differs only in an attribute", () => {
    const x = data(4, 4);
    const graph = new Graph([sum(x, 0), sum(x, 1), add(x, 1), add(x, 2), add(x, Number.NaN)]);
    expect(graph.nodes.filter((n) => n.op.name === "sum")).toHaveLength(2);
    expect(graph.nodes.filter((n) => n.op.name === "add")).toHaveLength(3);
  });

  test("orders nodes so that inputs come before their users", () => {
    const x = data(4);
    const graph = new Graph([add(exp(mul(x, 2)), neg(exp(x)))]);
    const seen = new Set<number>();
    for (const node of graph.nodes) {
      for (const input of node.inputs) expect(seen.has(graph.canonical(input).node.id)).toBe(true);
      seen.add(node.id);
    }
  });
});

describe("schedule", () => {
  test("computes a chain of maps inside the kernel of its end", () => {
    const x = data(8);
    const [a, b] = [mul(x, 2), exp(mul(x, 2))];
    const end = neg(b);
    const plan = scheduled([end]);
    expect([x, a, b, end].map(plan.isStored)).toEqual([true, false, false, true]);
  });

  test("gives memory to sources, outputs, reductions, and what hand-written kernels read or write", () => {
    const x = data(4, 4);
    const y = add(x, 1);
    const product = matmul(y, transpose(neg(x)));
    const end = sum(exp(product));
    const plan = scheduled([end]);
    expect([x, y, product].map(plan.isStored)).toEqual([true, true, true]);
    expect(plan.isStored(exp(product))).toBe(false);
  });

  test("stores a costly value that two kernels use, and recomputes a cheap one", () => {
    const x = data(8, 8);
    const [costly, cheap] = [exp(x), mul(x, 2)];
    const plan = scheduled([sum(costly, 0), sum(costly, 1), sum(cheap, 0), sum(cheap, 1)]);
    expect([costly, cheap].map(plan.isStored)).toEqual([true, false]);
  });

  test("stores a costly value that a broadcast repeats", () => {
    const [row, x] = [data(8), data(6, 8)];
    const costly = exp(row);
    expect(scheduled([add(x, costly)]).isStored(costly)).toBe(true);
    expect(scheduled([add(x, neg(row))]).isStored(neg(row))).toBe(false);
  });

  test("binds no more inputs than a kernel may", () => {
    const inputs = Array.from({ length: 12 }, () => data(8));
    const total = inputs.reduce((a, b) => add(a, b));
    const plan = scheduled([total], 4);
    /** What the kernel that computes `node` reads from memory. */
    const readBy = (node: Node): Set<string> =>
      new Set(
        node.inputs.flatMap((raw) => {
          const input = plan.graph.canonical(raw);
          return plan.isStored(input) ? [keyOf(input)] : [...readBy(input.node)];
        }),
      );
    const kernels = plan.graph.nodes.filter(
      (n) => n.op.name === "add" && plan.stored.has(`${n.id}.0`),
    );
    expect(kernels.length).toBeGreaterThan(2);
    for (const node of kernels) expect(readBy(node).size).toBeLessThanOrEqual(4);
  });

  test("ends a product with the map that is its only use", () => {
    const [a, b, bias] = [data(4, 8), data(8, 4), data(4)];
    const product = matmul(a, b);
    const end = relu(add(product, bias));
    const plan = scheduled([end]);
    expect(plan.isStored(product)).toBe(false);
    expect(plan.absorbed.has(keyOf(product))).toBe(true);
    expect(keyOf(plan.anchors.get(keyOf(end)) as Tensor)).toBe(keyOf(product));
  });

  test("ends a reduction with the map of its result", () => {
    const x = data(6, 8);
    const total = sum(x, 1);
    const end = mul(total, 0.125);
    const plan = scheduled([end]);
    expect(plan.anchors.has(keyOf(end))).toBe(true);
    expect(plan.isStored(total)).toBe(false);
  });

  test("keeps a product in memory that is an output, has two uses, or can take no epilogue", () => {
    const [a, b] = [data(4, 8), data(8, 4)];
    const product = matmul(a, b);
    expect(scheduled([relu(product), product]).isStored(product)).toBe(true);
    expect(scheduled([relu(product), sum(product)]).isStored(product)).toBe(true);
    expect(scheduled([relu(product)], 7, new Set([keyOf(product)])).isStored(product)).toBe(true);
    expect(scheduled([relu(product)]).isStored(product)).toBe(false);
  });
});
