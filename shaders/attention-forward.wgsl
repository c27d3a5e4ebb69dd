// attention-forward.wgsl — forest attention, forward: tiles of queries by keys, a thread has a patch of a tile in registers.
//
// Formula   s[q,k] = scale · q[q]·k[k], softcapped: c·tanh(s / c); q sees k iff k ≤ q < end[k] and depth[q] - depth[k] < window
//           out[q] = Σ_k exp(s[q,k] - lse[q]) · v[k],  lse[q] = log Σ_k exp(s[q,k])
// Shapes    q, out: [T, H, D]; k, v: [T, Hkv, D] f32, row strides and offsets multiples of 4; forest: see attention-forest.wgsl; lse: [H, T]
// Bindings  group(0)  0 params uniform · 1 q read · 2 k read · 3 v read · 4 forest read · 5 out read_write · 6 lse read_write
// Dispatch  one workgroup of THREADS per TILE queries of a head: (ceil(T / TILE), H, 1)
// Numerics  f32, online softmax in powers of two, TILE keys at a time; masked weights are exactly 0; sums in a fixed order
// Source    Dao 2023, arXiv:2307.08691, algorithm 1
const HEAD_DIM: u32 = 64u;
// Dimensions of a row that lie in workgroup memory at a time, a multiple of 4: 256 bytes each, beside 7,936
const CHUNK: u32 = 32u;
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
const LN_2: f32 = 0.6931471805599453;
const MASKED: f32 = -1e30;

// What is capped at a time.
alias Score = vec4<f32>;
#include attention-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> forest: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;

var<workgroup> q_tile: array<vec4<f32>, TILE * PITCH>;
var<workgroup> k_tile: array<vec4<f32>, TILE * PITCH>;
// Weights by key; a vector holds 4 queries.
var<workgroup> p_tile: array<vec4<f32>, TILE * COLUMN_PITCH>;
// What the 16 threads of a row have each found: maxima, at the end sums.
var<workgroup> row_tile: array<vec4<f32>, 16u * COLUMN_PITCH>;

#include attention-softcap

fn sees(queries: vec4<u32>, depths: vec4<u32>, key: u32, key_span: vec2<u32>) -> vec4<bool> {
  var seen = (vec4<u32>(key) <= queries) & (queries < vec4<u32>(key_span.x));
  if (HAS_WINDOW) {
    seen = seen & (depths - vec4<u32>(key_span.y) < vec4<u32>(params.window));
  }
  return seen;
}

@compute @workgroup_size(THREADS)
fn attention_forward_workgroup(
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
  var m = vec4<f32>(MASKED);
  var l = vec4<f32>(0.0);
#for i in 0..4
#for c in 0..SLICES
  var out_${i}_${c} = vec4<f32>(0.0);
#end
#end
  var is_first = true;
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
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      // The tiles of the chunk before are read.
      workgroupBarrier();
      for (var i = thread; i < TILE * CHUNK_VECS; i += THREADS) {
        let row = i / CHUNK_VECS;
        let column = i % CHUNK_VECS;
        let vector = chunk * CHUNK_VECS + column;
        var q_value = vec4<f32>(0.0);
        var k_value = vec4<f32>(0.0);
        if (vector < VECS) {
          k_value = k[k_base + min(key + row, last) * (params.k_stride / 4u) + vector];
          if (CHUNKS > 1u || is_first) {
            q_value = q[q_base + min(first + row, last) * (params.q_stride / 4u) + vector] * (params.scale * LOG2_E);
          }
        }
        k_tile[row * PITCH + column] = k_value;
        if (CHUNKS > 1u || is_first) {
          q_tile[row * PITCH + column] = q_value;
        }
      }
      // Publishes q_tile and k_tile.
      workgroupBarrier();
      for (var j = 0u; j < CHUNK_VECS; j++) {
        let k_0 = k_tile[x * PITCH + j];
        let k_1 = k_tile[(x + 16u) * PITCH + j];
#for i in 0..4
        let q_${i} = q_tile[(4u * y + ${i}u) * PITCH + j];
#end
        s_0 += vec4<f32>(dot(q_0, k_0), dot(q_1, k_0), dot(q_2, k_0), dot(q_3, k_0));
        s_1 += vec4<f32>(dot(q_0, k_1), dot(q_1, k_1), dot(q_2, k_1), dot(q_3, k_1));
      }
    }
    is_first = false;
#for j in 0..2
    let key_${j} = key + x + ${16 * j}u;
    let seen_${j} = sees(queries, depths, key_${j}, forest[min(key_${j}, last)]);
    s_${j} = select(vec4<f32>(MASKED), cap(s_${j}), seen_${j});
#end
    row_tile[x * COLUMN_PITCH + y] = max(s_0, s_1);
    // Publishes the maxima.
    workgroupBarrier();
    let m_old = m;
    for (var i = 0u; i < 16u; i++) {
      m = max(m, row_tile[i * COLUMN_PITCH + y]);
    }
    let keep = exp2(m_old - m);
    l *= keep;
#for j in 0..2
    let p_${j} = select(vec4<f32>(0.0), exp2(s_${j} - m), seen_${j});
    l += p_${j};
    p_tile[(x + ${16 * j}u) * COLUMN_PITCH + y] = p_${j};
#end
    // Publishes p_tile.
    workgroupBarrier();
#for i in 0..4
#for c in 0..SLICES
    out_${i}_${c} *= keep[${i}];
#end
#end
    let keys = min(TILE, last + 1u - key);
    for (var j = 0u; j < keys; j++) {
      let p = p_tile[j * COLUMN_PITCH + y];
      let v_row = v_base + (key + j) * (params.v_stride / 4u);
#for c in 0..SLICES
      {
        let value = v[v_row + min(x + ${16 * c}u, VECS - 1u)];
#for i in 0..4
        out_${i}_${c} += p[${i}] * value;
#end
      }
#end
    }
  }

  // All have read the maxima of the last tile.
  workgroupBarrier();
  row_tile[x * COLUMN_PITCH + y] = l;
  // Publishes the partial sums.
  workgroupBarrier();
  var sum = vec4<f32>(0.0);
  for (var i = 0u; i < 16u; i++) {
    sum += row_tile[i * COLUMN_PITCH + y];
  }
#for i in 0..4
  if (queries[${i}] < params.tokens) {
    let out_row = params.out_offset / 4u + queries[${i}] * (params.out_stride / 4u) + head * VECS;
#for c in 0..SLICES
    if (x + ${16 * c}u < VECS) {
      out[out_row + x + ${16 * c}u] = out_${i}_${c} / sum[${i}];
    }
#end
    if (x == 0u) {
      lse[head * params.tokens + queries[${i}]] = m[${i}] * LN_2 + log(sum[${i}]);
    }
  }
#end
}
