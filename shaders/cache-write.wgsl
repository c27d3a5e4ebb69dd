// cache-write.wgsl — keys and values of rows into their places in a cache.
//
// Formula   cache[slots[n], positions[n]] = qkv[n, H·D ..]
// Shapes    qkv: [N, (H + 2·Hkv)·D] f32, row stride and offset multiples of 4; slots, positions: [N] u32;
//           cache: [S, T, 2·Hkv·D], keys then values. Rows beyond S or T have no place, and no two may have the same
// Bindings  group(0)  0 params uniform · 1 qkv read · 2 slots read · 3 positions read · 4 cache read_write
// Dispatch  a lane per vector of a row, workgroups of 16 by 4: (ceil(2·Hkv·D / 4 / 16), rows in fours folded over y and z)
// Numerics  moved; to f16 by the driver's rounding
// Source    the cache of Pope et al. 2022, arXiv:2211.05102, §3

// Four numbers of a cache. f16: vec2<u32>, and narrow packs pairs.
alias Element = vec4<f32>;
#include cache-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> cache: array<Element>;

fn narrow(value: vec4<f32>) -> Element {
  return value;
}

@compute @workgroup_size(16, 4)
fn cache_write(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_id) lane: vec3<u32>,
) {
  let vecs = params.kv_heads * params.head_dim / 2u;
  let row = (group.y + group.z * groups.y) * 4u + lane.y;
  let vector = group.x * 16u + lane.x;
  if (row >= params.rows || vector >= vecs) {
    return;
  }
  let slot = slots[row];
  let position = positions[row];
  if (slot >= params.slots || position >= params.positions) {
    return;
  }
  let queries = params.heads * params.head_dim;
  let value = qkv[(params.qkv_offset + row * params.qkv_stride + queries) / 4u + vector];
  cache[(slot * params.positions + position) * vecs + vector] = narrow(value);
}
