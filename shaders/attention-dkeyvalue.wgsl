// attention-dkeyvalue.wgsl — forest attention, gradients of keys and values: a thread has a patch of a tile of keys by queries.
//
// Formula   p[q,k] = exp(s[q,k] - lse[q]) of attention-forward;  ds[q,k] = p[q,k] · (dout[q]·v[k] - delta[q]) · scale · (1 - (s / c)²)
//           dk[k] = Σ_q ds[q,k] · q[q],  dv[k] = Σ_q p[q,k] · dout[q], over the query heads of the key's group
// Shapes    q, dout: [T, H, D]; k, v, dk, dv: [T, Hkv, D] f32, row strides and offsets multiples of 4; stats: [H, T] (lse, delta)
// Bindings  group(0)  0 params uniform · 1 q read · 2 k read · 3 v read · 4 dout read · 5 stats read · 6 forest read · 7 dkv read_write
// Dispatch  one workgroup of THREADS per TILE keys of a kv head: (ceil(T / TILE), Hkv, 1); dk and dv lie in one buffer
// Numerics  f32; a thread sums its patches of dk and dv over heads, then queries, in order: no atomics
// Source    Dao 2023, arXiv:2307.08691, algorithm 2, split in two kernels so that nothing is summed by atomics
const HEAD_DIM: u32 = 64u;
// Dimensions of a row that lie in workgroup memory at a time, a multiple of 4: 512 bytes each, beside 11,264
const CHUNK: u32 = 8u;
const BLOCK: u32 = 16u;
const HAS_WINDOW: bool = false;
const HAS_SOFTCAP: bool = false;
// A tile is TILE keys by TILE queries. 8 x 16 threads: thread (y, x) has the 4 rows from 4y of the columns x and x + 16.
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
@group(0) @binding(7) var<storage, read_write> dkv: array<vec4<f32>>;

var<workgroup> q_tile: array<vec4<f32>, TILE * PITCH>;
var<workgroup> dout_tile: array<vec4<f32>, TILE * PITCH>;
var<workgroup> k_tile: array<vec4<f32>, TILE * PITCH>;
var<workgroup> v_tile: array<vec4<f32>, TILE * PITCH>;
// Weights and gradients of scores by query; a vector holds 4 keys.
var<workgroup> p_tile: array<vec4<f32>, TILE * COLUMN_PITCH>;
var<workgroup> ds_tile: array<vec4<f32>, TILE * COLUMN_PITCH>;

#include attention-softcap

#include attention-softcap-slope

fn sees(query: u32, depth: u32, keys: vec4<u32>, key_ends: vec4<u32>, key_depths: vec4<u32>) -> vec4<bool> {
  var seen = (keys <= vec4<u32>(query)) & (vec4<u32>(query) < key_ends);
  if (HAS_WINDOW) {
    seen = seen & (vec4<u32>(depth) - key_depths < vec4<u32>(params.window));
  }
  return seen;
}

@compute @workgroup_size(THREADS)
fn attention_dkeyvalue_workgroup(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let first = group.x * TILE;
  let kv_head = group.y;
  let heads_per_kv = params.heads / params.kv_heads;
  let last = min(first + TILE, params.tokens) - 1u;
  let x = thread % 16u;
  let y = thread / 16u;
  let keys = vec4<u32>(first + 4u * y) + vec4<u32>(0u, 1u, 2u, 3u);
  // Rows past the end repeat the last one and are not written: all threads must reach the barriers.
  let rows = min(keys, vec4<u32>(last));
  var key_ends = vec4<u32>(0u);
  var key_depths = vec4<u32>(0u);
#for i in 0..4
  {
    let span = forest[rows[${i}]];
    key_ends[${i}] = span.x;
    key_depths[${i}] = span.y;
  }
#for c in 0..SLICES
  var dk_${i}_${c} = vec4<f32>(0.0);
  var dv_${i}_${c} = vec4<f32>(0.0);
#end
#end
  let k_base = params.k_offset / 4u + kv_head * VECS;
  let v_base = params.v_offset / 4u + kv_head * VECS;
  // The queries that see any key of the tile lie in [first, end_max): descendants are contiguous.
  let final_block = (params.tokens - 1u) / BLOCK;
  var end_max = 0u;
  var depth_max = 0u;
  for (var b = first / BLOCK; b <= last / BLOCK; b++) {
    end_max = max(end_max, forest[params.tokens + 2u * b].x);
    depth_max = max(depth_max, forest[params.tokens + 2u * b + 1u].y);
  }
  for (var head = kv_head * heads_per_kv; head < (kv_head + 1u) * heads_per_kv; head++) {
    let q_base = params.q_offset / 4u + head * VECS;
    let dout_base = params.dout_offset / 4u + head * VECS;
    for (var query = first; query < end_max; query += TILE) {
      // Skips queries beyond the window of every key; uniform, so the barriers stay legal.
      if (HAS_WINDOW) {
        let block = query / BLOCK;
        let next = min(block + 1u, final_block);
        let depth_min = min(forest[params.tokens + 2u * block + 1u].x, forest[params.tokens + 2u * next + 1u].x);
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
            q_value = q[q_base + min(query + row, end_max - 1u) * (params.q_stride / 4u) + vector] * (params.scale * LOG2_E);
            dout_value = dout[dout_base + min(query + row, end_max - 1u) * (params.dout_stride / 4u) + vector];
            k_value = k[k_base + min(first + row, last) * (params.k_stride / 4u) + vector];
            v_value = v[v_base + min(first + row, last) * (params.v_stride / 4u) + vector];
          }
          q_tile[row * PITCH + column] = q_value;
          dout_tile[row * PITCH + column] = dout_value;
          k_tile[row * PITCH + column] = k_value;
          v_tile[row * PITCH + column] = v_value;
        }
        // Publishes the four tiles.
        workgroupBarrier();
        for (var j = 0u; j < CHUNK_VECS; j++) {
          let a_0 = q_tile[x * PITCH + j];
          let a_1 = q_tile[(x + 16u) * PITCH + j];
          let b_0 = dout_tile[x * PITCH + j];
          let b_1 = dout_tile[(x + 16u) * PITCH + j];
#for i in 0..4
          {
            let a = k_tile[(4u * y + ${i}u) * PITCH + j];
            let b = v_tile[(4u * y + ${i}u) * PITCH + j];
            s_0[${i}] += dot(a, a_0);
            s_1[${i}] += dot(a, a_1);
            dp_0[${i}] += dot(b, b_0);
            dp_1[${i}] += dot(b, b_1);
          }
#end
        }
      }
#for j in 0..2
      let query_${j} = query + x + ${16 * j}u;
      let row_${j} = min(query_${j}, end_max - 1u);
      let stats_${j} = stats[head * params.tokens + row_${j}];
      var depth_${j} = 0u;
      if (HAS_WINDOW) {
        depth_${j} = forest[row_${j}].y;
      }
      let seen_${j} = sees(query_${j}, depth_${j}, keys, key_ends, key_depths);
      s_${j} = cap(s_${j});
      let p_${j} = select(vec4<f32>(0.0), exp2(s_${j} - stats_${j}.x * LOG2_E), seen_${j});
      p_tile[(x + ${16 * j}u) * COLUMN_PITCH + y] = p_${j};
      ds_tile[(x + ${16 * j}u) * COLUMN_PITCH + y] = p_${j} * (dp_${j} - stats_${j}.y) * dcap(s_${j});
#end
      // Publishes p_tile and ds_tile.
      workgroupBarrier();
      let queries = min(TILE, end_max - query);
      for (var j = 0u; j < queries; j++) {
        let p = p_tile[j * COLUMN_PITCH + y];
        let ds = ds_tile[j * COLUMN_PITCH + y];
        let q_row = q_base + (query + j) * (params.q_stride / 4u);
        let dout_row = dout_base + (query + j) * (params.dout_stride / 4u);
#for c in 0..SLICES
        {
          let vector = min(x + ${16 * c}u, VECS - 1u);
          let q_value = q[q_row + vector];
          let dout_value = dout[dout_row + vector];
#for i in 0..4
          dk_${i}_${c} += ds[${i}] * q_value;
          dv_${i}_${c} += p[${i}] * dout_value;
#end
        }
#end
      }
    }
  }

#for i in 0..4
  if (keys[${i}] < params.tokens) {
    let dk_row = params.dk_offset / 4u + keys[${i}] * (params.dk_stride / 4u) + kv_head * VECS;
    let dv_row = params.dv_offset / 4u + keys[${i}] * (params.dv_stride / 4u) + kv_head * VECS;
#for c in 0..SLICES
    if (x + ${16 * c}u < VECS) {
      dkv[dk_row + x + ${16 * c}u] = dk_${i}_${c} * params.scale;
      dkv[dv_row + x + ${16 * c}u] = dv_${i}_${c};
    }
#end
  }
#end
}
