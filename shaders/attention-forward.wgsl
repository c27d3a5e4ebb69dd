// attention-forward.wgsl — forest attention, forward: a thread per query, keys and values in workgroup memory.
//
// Formula   s[q,k] = scale · q[q]·k[k], softcapped: c·tanh(s / c); q sees k iff k ≤ q < end[k] and depth[q] - depth[k] < window
//           out[q] = Σ_k exp(s[q,k] - lse[q]) · v[k],  lse[q] = log Σ_k exp(s[q,k])
// Shapes    q, out: [T, H, D]; k, v: [T, Hkv, D] f32, row strides and offsets multiples of 4; forest: see attention-forest.wgsl; lse: [H, T]
// Bindings  group(0)  0 params uniform · 1 q read · 2 k read · 3 v read · 4 forest read · 5 out read_write · 6 lse read_write
// Dispatch  one workgroup of ROWS threads per ROWS queries of a head: (ceil(T / ROWS), H, 1)
// Numerics  f32, online softmax in powers of two, one key at a time in order; masked weights are exactly 0
// Source    Dao 2023, arXiv:2307.08691, algorithm 1
const HEAD_DIM: u32 = 64u;
// Threads of a workgroup, one per row.
const ROWS: u32 = 64u;
// Rows of the two tiles in workgroup memory: 2 · TILE · HEAD_DIM · 4 bytes; a power of two up to BLOCK.
const TILE: u32 = 16u;
const BLOCK: u32 = 16u;
const HAS_WINDOW: bool = false;
const HAS_SOFTCAP: bool = false;
const VECS: u32 = HEAD_DIM / 4u;
const LOG2_E: f32 = 1.4426950408889634;
const LN_2: f32 = 0.6931471805599453;
const MASKED: f32 = -1e30;

struct Params {
  tokens: u32,
  heads: u32,
  kv_heads: u32,
  head_dim: u32,
  window: u32,
  q_offset: u32,
  q_stride: u32,
  k_offset: u32,
  k_stride: u32,
  v_offset: u32,
  v_stride: u32,
  out_offset: u32,
  out_stride: u32,
  dout_offset: u32,
  dout_stride: u32,
  dq_offset: u32,
  dq_stride: u32,
  dk_offset: u32,
  dk_stride: u32,
  dv_offset: u32,
  dv_stride: u32,
  scale: f32,
  softcap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> forest: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;

var<workgroup> k_tile: array<vec4<f32>, TILE * VECS>;
var<workgroup> v_tile: array<vec4<f32>, TILE * VECS>;

// Softcapped score; scores and cap are in powers of two. The clamp keeps tanh finite where it is made from exp().
fn cap(score: f32) -> f32 {
  if (HAS_SOFTCAP) {
    let c = params.softcap * LOG2_E;
    return c * tanh(clamp(score / c, -15.0, 15.0));
  }
  return score;
}

fn sees(query: u32, query_depth: u32, key: u32, key_end: u32, key_depth: u32) -> bool {
  return key <= query && query < key_end && (!HAS_WINDOW || query_depth - key_depth < params.window);
}

@compute @workgroup_size(ROWS)
fn attention_forward_workgroup(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first = group.x * ROWS;
  let head = group.y;
  let kv_head = head / (params.heads / params.kv_heads);
  let last = min(first + ROWS, params.tokens) - 1u;
  let query = first + thread;
  // Rows past the end repeat the last one and are not written: all threads must reach the barriers.
  let row = min(query, last);
  let depth = forest[row].y;
  let k_base = params.k_offset / 4u + kv_head * VECS;
  let v_base = params.v_offset / 4u + kv_head * VECS;
  let q_row = params.q_offset / 4u + row * (params.q_stride / 4u) + head * VECS;
  var q_row_values: array<vec4<f32>, VECS>;
  var sum: array<vec4<f32>, VECS>;
  for (var j = 0u; j < VECS; j++) {
    q_row_values[j] = q[q_row + j] * (params.scale * LOG2_E);
    sum[j] = vec4<f32>(0.0);
  }
  var m = MASKED;
  var l = 0.0;
  var depth_min = 0u;
  if (HAS_WINDOW) {
    depth_min = forest[params.tokens + 2u * (first / BLOCK) + 1u].x;
    for (var b = first / BLOCK + 1u; b <= last / BLOCK; b++) {
      depth_min = min(depth_min, forest[params.tokens + 2u * b + 1u].x);
    }
  }
  // No tree before that of the first query is seen.
  let root = forest[params.tokens + 2u * (first / BLOCK)].y;
  for (var key = root / TILE * TILE; key <= last; key += TILE) {
    // Skips blocks that ended before the first query, or lie before its window; uniform, so the barriers stay legal.
    if (forest[params.tokens + 2u * (key / BLOCK)].x <= first) {
      continue;
    }
    if (HAS_WINDOW && depth_min >= forest[params.tokens + 2u * (key / BLOCK) + 1u].y + params.window) {
      continue;
    }
    for (var i = thread; i < TILE * VECS; i += ROWS) {
      let source = min(key + i / VECS, last);
      k_tile[i] = k[k_base + source * (params.k_stride / 4u) + i % VECS];
      v_tile[i] = v[v_base + source * (params.v_stride / 4u) + i % VECS];
    }
    // Publishes k_tile and v_tile.
    workgroupBarrier();
    for (var i = 0u; i < min(TILE, last + 1u - key); i++) {
      let span = forest[key + i];
      if (sees(query, depth, key + i, span.x, span.y)) {
        var s = 0.0;
        for (var j = 0u; j < VECS; j++) {
          s += dot(k_tile[i * VECS + j], q_row_values[j]);
        }
        s = cap(s);
        let m_new = max(m, s);
        let keep = exp2(m - m_new);
        let p = exp2(s - m_new);
        m = m_new;
        l = l * keep + p;
        for (var j = 0u; j < VECS; j++) {
          sum[j] = sum[j] * keep + p * v_tile[i * VECS + j];
        }
      }
    }
    // The tiles are read before they are written again.
    workgroupBarrier();
  }
  if (query < params.tokens) {
    let out_row = params.out_offset / 4u + query * (params.out_stride / 4u) + head * VECS;
    for (var j = 0u; j < VECS; j++) {
      out[out_row + j] = sum[j] / l;
    }
    lse[head * params.tokens + query] = m * LN_2 + log(l);
  }
}
