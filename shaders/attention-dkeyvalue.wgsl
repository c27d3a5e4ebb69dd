// attention-dkeyvalue.wgsl — forest attention, gradients of keys and values: a thread per key, queries in workgroup memory.
//
// Formula   p[q,k] = exp(s[q,k] - lse[q]) of attention-forward;  ds[q,k] = p[q,k] · (dout[q]·v[k] - delta[q]) · scale · (1 - (s / c)²)
//           dk[k] = Σ_q ds[q,k] · q[q],  dv[k] = Σ_q p[q,k] · dout[q], over the query heads of the key's group
// Shapes    q, dout: [T, H, D]; k, v, dk, dv: [T, Hkv, D] f32, row strides and offsets multiples of 4; stats: [H, T] (lse, delta)
// Bindings  group(0)  0 params uniform · 1 q read · 2 k read · 3 v read · 4 dout read · 5 stats read · 6 forest read · 7 dkv read_write
// Dispatch  one workgroup of ROWS threads per ROWS keys of a kv head: (ceil(T / ROWS), Hkv, 1); dk and dv lie in one buffer
// Numerics  f32; a thread sums its key over heads, then queries, in order: no atomics; masked weights are exactly 0
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
@group(0) @binding(7) var<storage, read_write> dkv: array<vec4<f32>>;

var<workgroup> q_tile: array<vec4<f32>, TILE * VECS>;
var<workgroup> dout_tile: array<vec4<f32>, TILE * VECS>;

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
fn attention_dkeyvalue_workgroup(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first = group.x * ROWS;
  let kv_head = group.y;
  let heads_per_kv = params.heads / params.kv_heads;
  let last = min(first + ROWS, params.tokens) - 1u;
  let key = first + thread;
  // Rows past the end repeat the last one and are not written: all threads must reach the barriers.
  let row = min(key, last);
  let span = forest[row];
  let k_row = params.k_offset / 4u + row * (params.k_stride / 4u) + kv_head * VECS;
  let v_row = params.v_offset / 4u + row * (params.v_stride / 4u) + kv_head * VECS;
  var k_row_values: array<vec4<f32>, VECS>;
  var v_row_values: array<vec4<f32>, VECS>;
  var dk_sum: array<vec4<f32>, VECS>;
  var dv_sum: array<vec4<f32>, VECS>;
  for (var j = 0u; j < VECS; j++) {
    k_row_values[j] = k[k_row + j] * (params.scale * LOG2_E);
    v_row_values[j] = v[v_row + j];
    dk_sum[j] = vec4<f32>(0.0);
    dv_sum[j] = vec4<f32>(0.0);
  }
  // The queries that see any key of the workgroup lie in [first, end_max): descendants are contiguous.
  var end_max = 0u;
  var depth_max = 0u;
  for (var b = first / BLOCK; b <= last / BLOCK; b++) {
    end_max = max(end_max, forest[params.tokens + 2u * b].x);
    depth_max = max(depth_max, forest[params.tokens + 2u * b + 1u].y);
  }
  for (var head = kv_head * heads_per_kv; head < (kv_head + 1u) * heads_per_kv; head++) {
    let q_base = params.q_offset / 4u + head * VECS;
    let dout_base = params.dout_offset / 4u + head * VECS;
    for (var query = first / TILE * TILE; query < end_max; query += TILE) {
      // Skips queries beyond the window of every key; uniform, so the barriers stay legal.
      if (HAS_WINDOW && forest[params.tokens + 2u * (query / BLOCK) + 1u].x >= depth_max + params.window) {
        continue;
      }
      for (var i = thread; i < TILE * VECS; i += ROWS) {
        let source = min(query + i / VECS, params.tokens - 1u);
        q_tile[i] = q[q_base + source * (params.q_stride / 4u) + i % VECS];
        dout_tile[i] = dout[dout_base + source * (params.dout_stride / 4u) + i % VECS];
      }
      // Publishes q_tile and dout_tile.
      workgroupBarrier();
      for (var i = 0u; i < min(TILE, end_max - query); i++) {
        if (sees(query + i, forest[query + i].y, key, span.x, span.y)) {
          let row_stats = stats[head * params.tokens + query + i];
          var s = 0.0;
          var dp = 0.0;
          for (var j = 0u; j < VECS; j++) {
            s += dot(q_tile[i * VECS + j], k_row_values[j]);
            dp += dot(dout_tile[i * VECS + j], v_row_values[j]);
          }
          s = cap(s);
          let p = exp2(s - row_stats.x * LOG2_E);
          let ds = p * (dp - row_stats.y) * dcap(s);
          for (var j = 0u; j < VECS; j++) {
            dk_sum[j] += ds * q_tile[i * VECS + j];
            dv_sum[j] += p * dout_tile[i * VECS + j];
          }
        }
      }
      // The tiles are read before they are written again.
      workgroupBarrier();
    }
  }
  if (key < params.tokens) {
    let dk_row = params.dk_offset / 4u + key * (params.dk_stride / 4u) + kv_head * VECS;
    let dv_row = params.dv_offset / 4u + key * (params.dv_stride / 4u) + kv_head * VECS;
    for (var j = 0u; j < VECS; j++) {
      dkv[dk_row + j] = dk_sum[j] * params.scale;
      dkv[dv_row + j] = dv_sum[j];
    }
  }
}
