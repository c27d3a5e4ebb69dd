// attention-delta.wgsl — per-row scalars of the attention backward.
//
// Formula   delta[h,t] = Σ_d dout[t,h,d] · out[t,h,d];  stats[h,t] = (lse[h,t], delta[h,t])
// Shapes    out, dout: [T, H, D] f32 with row stride and offset (multiples of 4); lse: [H, T]; stats: [H, T] vec2
// Bindings  group(0)  0 params uniform · 1 out read · 2 dout read · 3 lse read · 4 stats read_write
// Dispatch  one thread per token and head, workgroups of 64: (ceil(T / 64), H, 1)
// Numerics  f32, one thread sums a row in order: no reduction across lanes
// Source    Dao et al. 2022, arXiv:2205.14135, appendix B.4 (D = rowsum(dO ∘ O))

#include attention-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> out: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2<f32>>;

@compute @workgroup_size(64)
fn attention_delta(@builtin(global_invocation_id) id: vec3<u32>) {
  let token = id.x;
  if (token >= params.tokens) {
    return;
  }
  let vecs = params.head_dim / 4u;
  let out_base = (params.out_offset + token * params.out_stride) / 4u + id.y * vecs;
  let dout_base = (params.dout_offset + token * params.dout_stride) / 4u + id.y * vecs;
  var delta = 0.0;
  for (var j = 0u; j < vecs; j++) {
    delta += dot(out[out_base + j], dout[dout_base + j]);
  }
  let row = id.y * params.tokens + token;
  stats[row] = vec2<f32>(lse[row], delta);
}
