// attention-dquery.wgsl — forest attention, gradient of the queries: a thread per query, keys and values in workgroup memory.
//
// Formula   p[q,k] = exp(s[q,k] - lse[q]) of attention-forward;  ds[q,k] = p[q,k] · (dout[q]·v[k] - delta[q]) · scale · (1 - (s / c)²)
//           dq[q] = Σ_k ds[q,k] · k[k]
// Shapes    q, dout, dq: [T, H, D]; k, v: [T, Hkv, D] f32, row strides and offsets multiples of 4; stats: [H, T] (lse, delta)
// Bindings  group(0)  0 params uniform · 1 q read · 2 k read · 3 v read · 4 dout read · 5 stats read · 6 forest read · 7 dq read_write
// Dispatch  one workgroup of ROWS threads per ROWS queries of a head: (ceil(T / ROWS), H, 1)
// Numerics  f32; a thread sums its row over the keys in order: no atomics; masked weights are exactly 0
// Source    Dao 2023, arXiv:2307.08691, algorithm 2, split in two kernels so that nothing is summed by atomics
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
@group(0) @binding(4) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read> forest: array<vec2<u32>>;
@group(0) @binding(7) var<storage, read_write> dq: array<vec4<f32>>;

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

// Derivative of `cap` at a capped score.
fn dcap(capped: f32) -> f32 {
  if (HAS_SOFTCAP) {
    let t = capped / (params.softcap * LOG2_E);
    return 1.0 - t * t;
  }
  return 1.0;
}

fn sees(query: u32, query_depth: u32, key: u32, key_end: u32, key_depth: u32) -> bool {
  return key <= query && query < key_end && (!HAS_WINDOW || query_depth - key_depth < params.window);
}

@compute @workgroup_size(ROWS)
fn attention_dquery_workgroup(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
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
  let dout_row = params.dout_offset / 4u + row * (params.dout_stride / 4u) + head * VECS;
  let row_stats = stats[head * params.tokens + row];
  let row_lse = row_stats.x * LOG2_E;
  var q_row_values: array<vec4<f32>, VECS>;
  var dout_row_values: array<vec4<f32>, VECS>;
  var sum: array<vec4<f32>, VECS>;
  for (var j = 0u; j < VECS; j++) {
    q_row_values[j] = q[q_row + j] * (params.scale * LOG2_E);
    dout_row_values[j] = dout[dout_row + j];
    sum[j] = vec4<f32>(0.0);
  }
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
        var dp = 0.0;
        for (var j = 0u; j < VECS; j++) {
          s += dot(k_tile[i * VECS + j], q_row_values[j]);
          dp += dot(v_tile[i * VECS + j], dout_row_values[j]);
        }
        s = cap(s);
        let ds = exp2(s - row_lse) * (dp - row_stats.y) * dcap(s);
        for (var j = 0u; j < VECS; j++) {
          sum[j] += ds * k_tile[i * VECS + j];
        }
      }
    }
    // The tiles are read before they are written again.
    workgroupBarrier();
  }
  if (query < params.tokens) {
    let dq_row = params.dq_offset / 4u + query * (params.dq_stride / 4u) + head * VECS;
    for (var j = 0u; j < VECS; j++) {
      dq[dq_row + j] = sum[j] * params.scale;
    }
  }
}
