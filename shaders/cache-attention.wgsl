// cache-attention.wgsl — attention of rows over a cache of keys and values: a lane a row and head.
//
// Formula   s[n,t] = scale · q[n]·k[t], softcapped: c·tanh(s / c); row n sees t iff t ≤ position[n] and position[n] - t < window
//           out[n] = Σ_t exp(s[n,t]) · v[t] / Σ_t exp(s[n,t]), keys and values of slot slots[n]
// Shapes    qkv: [N, (H + 2·Hkv)·D] f32, row stride and offset multiples of 4; slots, positions: [N] u32;
//           cache: [S, T, 2·Hkv·D], keys then values; out: [N, H, D]. Rows beyond S or T give zeros
// Bindings  group(0)  0 params uniform · 1 qkv read · 2 slots read · 3 positions read · 4 cache read · 5 out read_write
// Dispatch  (rows folded in LANES over x and y, H)
// Numerics  f32, online softmax in powers of two, a key at a time; no reduction across lanes
// Source    Dao 2023, arXiv:2307.08691, algorithm 1
const LANES: u32 = 8u;
const HEAD_DIM: u32 = 32u;
const HAS_WINDOW: bool = false;
const HAS_SOFTCAP: bool = false;
const VECS: u32 = HEAD_DIM / 4u;
const LOG2_E: f32 = 1.4426950408889634;
const MASKED: f32 = -1e30;

// What is capped at a time.
alias Score = f32;
// Four numbers of a cache. f16: vec2<u32>, and widen unpacks pairs.
alias Element = vec4<f32>;
#include cache-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read> cache: array<Element>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

#include attention-softcap

fn widen(element: Element) -> vec4<f32> {
  return element;
}

@compute @workgroup_size(LANES)
fn cache_attention(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.x + group.y * groups.x) * LANES + lane;
  let head = group.z;
  if (row >= params.rows) {
    return;
  }
  let kv_head = head / (params.heads / params.kv_heads);
  let out_row = (row * params.heads + head) * VECS;
  let slot = slots[row];
  let position = positions[row];
  if (slot >= params.slots || position >= params.positions) {
#for j in 0..VECS
    out[out_row + ${j}u] = vec4<f32>(0.0);
#end
    return;
  }
  let q_row = (params.qkv_offset + row * params.qkv_stride) / 4u + head * VECS;
#for j in 0..VECS
  let q_${j} = qkv[q_row + ${j}u] * (params.scale * LOG2_E);
  var out_${j} = vec4<f32>(0.0);
#end
  let width = 2u * params.kv_heads * VECS;
  let k_base = slot * params.positions * width + kv_head * VECS;
  let v_base = k_base + params.kv_heads * VECS;
  var m = MASKED;
  var l = 0.0;
  var key = 0u;
  if (HAS_WINDOW) {
    key = select(0u, position + 1u - params.window, position >= params.window);
  }
  loop {
    var s = 0.0;
#for j in 0..VECS
    s += dot(widen(cache[k_base + key * width + ${j}u]), q_${j});
#end
    s = cap(s);
    let m_old = m;
    m = max(m, s);
    let keep = exp2(m_old - m);
    let p = exp2(s - m);
    l = l * keep + p;
#for j in 0..VECS
    out_${j} = out_${j} * keep + p * widen(cache[v_base + key * width + ${j}u]);
#end
    key++;
    continuing {
      break if key > position;
    }
  }
#for j in 0..VECS
  out[out_row + ${j}u] = out_${j} / l;
#end
}
