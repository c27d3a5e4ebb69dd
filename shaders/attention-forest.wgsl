// attention-forest.wgsl — what the attention kernels must know of the forest: spans of tokens and of blocks of tokens.
//
// Formula   forest[t] = (end[t], depth[t]); block b of BLOCK tokens: forest[T + 2b] = (max end, root of its first token),
//           forest[T + 2b + 1] = (min depth, max depth)
// Shapes    end, depth: [T] u32; forest: [T + 2·ceil(T / BLOCK)] vec2 of u32
// Bindings  group(0)  0 params uniform · 1 end read · 2 depth read · 3 forest read_write
// Dispatch  one thread per block, workgroups of 64: (ceil(ceil(T / BLOCK) / 64), 1, 1)
// Numerics  integers; the walk over roots visits every tree before the block once, O(trees) per block, once per batch
// Source    tree mask k ≤ q < end[k] in depth-first pre-order: AReaL tree training, TRL tree packing

const BLOCK: u32 = 16u;

#include attention-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> end: array<u32>;
@group(0) @binding(2) var<storage, read> depth: array<u32>;
@group(0) @binding(3) var<storage, read_write> forest: array<vec2<u32>>;

// A malformed forest gives wrong numbers, but never a hang or a read out of bounds.
fn end_of(token: u32) -> u32 {
  return clamp(end[token], token + 1u, params.tokens);
}

@compute @workgroup_size(64)
fn attention_forest(@builtin(global_invocation_id) id: vec3<u32>) {
  let block = id.x;
  let first = block * BLOCK;
  if (first >= params.tokens) {
    return;
  }
  // Trees lie one after the other: the end of a root is the next root.
  var root = 0u;
  loop {
    let next = end_of(root);
    if (next > first) {
      break;
    }
    root = next;
  }
  var end_max = 0u;
  var depth_min = 0xffffffffu;
  var depth_max = 0u;
  for (var t = first; t < min(first + BLOCK, params.tokens); t++) {
    let span = vec2<u32>(end_of(t), depth[t]);
    forest[t] = span;
    end_max = max(end_max, span.x);
    depth_min = min(depth_min, span.y);
    depth_max = max(depth_max, span.y);
  }
  forest[params.tokens + 2u * block] = vec2<u32>(end_max, root);
  forest[params.tokens + 2u * block + 1u] = vec2<u32>(depth_min, depth_max);
}
