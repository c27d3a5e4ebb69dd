// attention-dquery.wgsl — forest attention, gradient of the queries: a thread has a patch of a tile of queries by keys.
//
// Formula   p[q,k] = exp(s[q,k] - lse[q]) of attention-forward;  ds[q,k] = p[q,k] · (dout[q]·v[k] - delta[q]) · scale · (1 - (s / c)²)
//           dq[q] = Σ_k ds[q,k] · k[k]
// Shapes    q, dout, dq: [T, H, D]; k, v: [T, Hkv, D] f32, row strides and offsets multiples of 4; stats: [H, T] (lse, delta)
// Bindings  group(0)  0 params uniform · 1 q read · 2 k read · 3 v read · 4 dout read · 5 stats read · 6 forest read · 7 dq read_write
// Dispatch  one workgroup of THREADS per TILE queries of a head: (ceil(T / TILE), H, 1)
// Numerics  f32; a thread sums its patch of dq over the keys in order: no atomics; masked weights are exactly 0
// Source    Dao 2023, arXiv:2307.08691, algorithm 2, split in two kernels so that nothing is summed by atomics
const HEAD_DIM: u32 = 64u;
// Dimensions of a row that lie in workgroup memory at a time, a multiple of 4: 512 bytes each, beside 6,656
const CHUNK: u32 = 16u;
const BLOCK: u32 = 16u;
const HAS_WINDOW: bool = false;
const HAS_SOFTCAP: bool = false;
// A tile is TILE queries by TILE keys. 8 x 16 threads: thread (y, x) has the 4 rows from 4y of the columns x and x + 16.
const TILE: u32 = 32u;
const THREADS: u32 = 128u;
const VECS: u32 = HEAD_DIM / 4u;
const CHUNK_VECS: u32 = CHUNK / 4u;
const CHUNKS: u32 = (VECS + CHUNK_VECS - 1u) / CHUNK_VECS;
// An odd pitch puts the same place of neighbouring rows in different banks.
const PITCH: u32 = CHUNK_VECS + 1u;
const COLUMN_PITCH: u32 = 9u;
// Vectors of an output row that a thread owns: x, x + 16, …
const SLICES: u32 = (VECS + 15u) / 16u;
const LOG2_E: f32 = 1.4426950408889634;

// What is capped at a time.
alias Score = vec4<f32>;
#include attention-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read> forest: array<vec2<u32>>;
@group(0) @binding(7) var<storage, read_write> dq: array<vec4<f32>>;

var<workgroup> q_tile: array<vec4<f32>, TILE * PITCH>;
var<workgroup> dout_tile: array<vec4<f32>, TILE * PITCH>;
var<workgroup> k_tile: array<vec4<f32>, TILE * PITCH>;
var<workgroup> v_tile: array<vec4<f32>, TILE * PITCH>;
// Gradients of scores by key; a vector holds 4 queries.
var<workgroup> ds_tile: array<vec4<f32>, TILE * COLUMN_PITCH>;

#include attention-softcap

#include attention-softcap-slope

fn sees(queries: vec4<u32>, depths: vec4<u32>, key: u32, key_span: vec2<u32>) -> vec4<bool> {
  var seen = (vec4<u32>(key) <= queries) & (queries < vec4<u32>(key_span.x));
  if (HAS_WINDOW) {
    seen = seen & (depths - vec4<u32>(key_span.y) < vec4<u32>(params.window));
  }
  return seen;
}

@compute @workgroup_size(THREADS)
fn attention_dquery_workgroup(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  // Late queries see more keys: they start first, so that none of them runs alone at the end.
  let first = (grid.x - 1u - group.x) * TILE;
  let head = group.y;
  let kv_head = head / (params.heads / params.kv_heads);
  let last = min(first + TILE, params.tokens) - 1u;
  let x = thread % 16u;
  let y = thread / 16u;
  let queries = vec4<u32>(first + 4u * y) + vec4<u32>(0u, 1u, 2u, 3u);
  // Rows past the end repeat the last one and are not written: all threads must reach the barriers.
  let rows = min(queries, vec4<u32>(last));
  var depths = vec4<u32>(0u);
  if (HAS_WINDOW) {
    depths = vec4<u32>(forest[rows.x].y, forest[rows.y].y, forest[rows.z].y, forest[rows.w].y);
  }
  let q_base = params.q_offset / 4u + head * VECS;
  let k_base = params.k_offset / 4u + kv_head * VECS;
  let v_base = params.v_offset / 4u + kv_head * VECS;
  let dout_base = params.dout_offset / 4u + head * VECS;
  var row_lse = vec4<f32>(0.0);
  var delta = vec4<f32>(0.0);
#for i in 0..4
  {
    let row_stats = stats[head * params.tokens + rows[${i}]];
    row_lse[${i}] = row_stats.x * LOG2_E;
    delta[${i}] = row_stats.y;
  }
#for c in 0..SLICES
  var dq_${i}_${c} = vec4<f32>(0.0);
#end
#end
  let final_block = (params.tokens - 1u) / BLOCK;
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
    // Skips tiles that ended before the first query, or lie before its window; uniform, so the barriers stay legal.
    let block = key / BLOCK;
    let next = min(block + 1u, final_block);
    if (max(forest[params.tokens + 2u * block].x, forest[params.tokens + 2u * next].x) <= first) {
      continue;
    }
    if (HAS_WINDOW) {
      let depth_max = max(forest[params.tokens + 2u * block + 1u].y, forest[params.tokens + 2u * next + 1u].y);
      if (depth_min >= depth_max + params.window) {
        continue;
      }
    }
    var s_0 = vec4<f32>(0.0);
    var s_1 = vec4<f32>(0.0);
    var dp_0 = vec4<f32>(0.0);
    var dp_1 = vec4<f32>(0.0);
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      // The tiles of the chunk before, and the weights of the tile before, are read.
      workgroupBarrier();
      for (var i = thread; i < TILE * CHUNK_VECS; i += THREADS) {
        let row = i / CHUNK_VECS;
        let column = i % CHUNK_VECS;
        let vector = chunk * CHUNK_VECS + column;
        var q_value = vec4<f32>(0.0);
        var dout_value = vec4<f32>(0.0);
        var k_value = vec4<f32>(0.0);
        var v_value = vec4<f32>(0.0);
        if (vector < VECS) {
          q_value = q[q_base + min(first + row, last) * (params.q_stride / 4u) + vector] * (params.scale * LOG2_E);
          dout_value = dout[dout_base + min(first + row, last) * (params.dout_stride / 4u) + vector];
          k_value = k[k_base + min(key + row, last) * (params.k_stride / 4u) + vector];
          v_value = v[v_base + min(key + row, last) * (params.v_stride / 4u) + vector];
        }
        q_tile[row * PITCH + column] = q_value;
        dout_tile[row * PITCH + column] = dout_value;
        k_tile[row * PITCH + column] = k_value;
        v_tile[row * PITCH + column] = v_value;
      }
      // Publishes the four tiles.
      workgroupBarrier();
      for (var j = 0u; j < CHUNK_VECS; j++) {
        let a_0 = k_tile[x * PITCH + j];
        let a_1 = k_tile[(x + 16u) * PITCH + j];
        let b_0 = v_tile[x * PITCH + j];
        let b_1 = v_tile[(x + 16u) * PITCH + j];
#for i in 0..4
        {
          let a = q_tile[(4u * y + ${i}u) * PITCH + j];
          let b = dout_tile[(4u * y + ${i}u) * PITCH + j];
          s_0[${i}] += dot(a, a_0);
          s_1[${i}] += dot(a, a_1);
          dp_0[${i}] += dot(b, b_0);
          dp_1[${i}] += dot(b, b_1);
        }
#end
      }
    }
#for j in 0..2
    let key_${j} = key + x + ${16 * j}u;
    let seen_${j} = sees(queries, depths, key_${j}, forest[min(key_${j}, last)]);
    s_${j} = cap(s_${j});
    let ds_${j} = select(vec4<f32>(0.0), exp2(s_${j} - row_lse) * (dp_${j} - delta) * dcap(s_${j}), seen_${j});
    ds_tile[(x + ${16 * j}u) * COLUMN_PITCH + y] = ds_${j};
#end
    // Publishes ds_tile.
    workgroupBarrier();
    let keys = min(TILE, last + 1u - key);
    for (var j = 0u; j < keys; j++) {
      let ds = ds_tile[j * COLUMN_PITCH + y];
      let k_row = k_base + (key + j) * (params.k_stride / 4u);
#for c in 0..SLICES
      {
        let value = k[k_row + min(x + ${16 * c}u, VECS - 1u)];
#for i in 0..4
        dq_${i}_${c} += ds[${i}] * value;
#end
      }
#end
    }
  }

#for i in 0..4
  if (queries[${i}] < params.tokens) {
    let dq_row = params.dq_offset / 4u + queries[${i}] * (params.dq_stride / 4u) + head * VECS;
#for c in 0..SLICES
    if (x + ${16 * c}u < VECS) {
      dq[dq_row + x + ${16 * c}u] = dq_${i}_${c} * params.scale;
    }
#end
  }
#end
}
