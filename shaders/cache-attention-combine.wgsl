// cache-attention-combine.wgsl — the results of cache-attention of all spans of positions that a row sees, put together.
//
// Formula   m = max_s m[s];  out = Σ_s exp(m[s] - m) · sum[s] / Σ_s exp(m[s] - m) · l[s]
// Shapes    parts: [N, H, spans, VECS + 1] vectors: sum, then (m, l) of a span; slots, positions: [N] u32; out: [N, H, D]
// Bindings  group(0)  0 params uniform · 1 parts read · 2 slots read · 3 positions read · 4 out read_write
// Dispatch  a thread per vector of out, workgroups of 64, folded over x and y
// Numerics  f32, maxima in powers of two; spans in order
// Source    Dao et al. 2023, Flash-Decoding
const HAS_WINDOW: bool = false;
#include cache-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;

#include cache-first-seen

@compute @workgroup_size(64)
fn cache_attention_combine(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let vecs = params.head_dim / 4u;
  let index = (group.x + group.y * groups.x) * 64u + thread;
  let place = index / vecs;
  let row = place / params.heads;
  if (row >= params.rows) {
    return;
  }
  let position = positions[row];
  if (slots[row] >= params.slots || position >= params.positions) {
    out[index] = vec4<f32>(0.0);
    return;
  }
  let first = first_seen(position) / params.span;
  let last = position / params.span;
  let base = place * params.spans;
  var m = parts[(base + first) * (vecs + 1u) + vecs].x;
  for (var span = first + 1u; span <= last; span++) {
    m = max(m, parts[(base + span) * (vecs + 1u) + vecs].x);
  }
  var l = 0.0;
  var sum = vec4<f32>(0.0);
  for (var span = first; span <= last; span++) {
    let part = (base + span) * (vecs + 1u);
    let scale = parts[part + vecs];
    let weight = exp2(scale.x - m);
    l += scale.y * weight;
    sum += parts[part + index % vecs] * weight;
  }
  out[index] = sum / l;
}
