// pack-bf16.wgsl — a flat f32 vector as bf16, two elements a word, as it goes from node to node.
//
// Formula   packed[i] = bf16(source[i]): the upper 16 bits, rounded to nearest, ties to even; NaN → 0x7fc0
// Shapes    source [count] f32, packed [count / 2] u32 with element 2i in the lower half; elements from to before to are packed, both
//           multiples of 64
// Bindings  group(0)  0 params uniform · 1 source read · 2 packed read_write
// Dispatch  pack_bf16: ceil((to - from) / 512) workgroups of 8, a lane a block of 64; pack_bf16_coalesced: ceil((to - from) / 256) of 64;
//           both folded over x and y
// Numerics  integers only: the bits are those of any other correct rounding; infinities stay
// Source    bfloat16 of Wang & Kanwar 2019; the carry trick of PyTorch's c10/util/BFloat16.h, round_to_nearest_even

// Four elements each.
const BLOCK: u32 = 16u;

struct Params { first: u32, last: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> packed: array<vec2u>;

fn rounded(bits: vec4u) -> vec4u {
  let even = (bits >> vec4u(16u)) & vec4u(1u);
  let upper = (bits + vec4u(0x7fffu) + even) >> vec4u(16u);
  return select(upper, vec4u(0x7fc0u), (bits & vec4u(0x7fffffffu)) > vec4u(0x7f800000u));
}

fn pack_four(i: u32) {
  let upper = rounded(source[i]);
  packed[i] = upper.xz | (upper.yw << vec2u(16u));
}

@compute @workgroup_size(8)
fn pack_bf16(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = params.first + ((workgroup.x + workgroup.y * grid.x) * 8u + lane) * BLOCK;
  // No barrier follows: lanes past the end may leave.
  if (first >= params.last) { return; }
  let end = min(first + BLOCK, params.last);
  for (var i = first; i < end; i++) {
    pack_four(i);
  }
}

@compute @workgroup_size(64)
fn pack_bf16_coalesced(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = params.first + (workgroup.x + workgroup.y * grid.x) * 64u + lane;
  // No barrier follows: lanes past the end may leave.
  if (i >= params.last) { return; }
  pack_four(i);
}
