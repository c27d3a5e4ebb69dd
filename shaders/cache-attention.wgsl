// cache-attention.wgsl — attention of rows over a cache: a workgroup has rows of a key head, its threads share out the keys.
//
// Formula   s[n,t] = scale · q[n]·k[t], softcapped: c·tanh(s / c); row n sees t iff t ≤ position[n] and position[n] - t < window
//           out[n] = Σ_t exp(s[n,t]) · v[t] / Σ_t exp(s[n,t]), keys and values of slot slots[n]
// Shapes    qkv: [N, (H + 2·Hkv)·D] f32, row stride and offset multiples of 4; slots, positions: [N] u32;
//           cache: [S, T, 2·Hkv·D], keys then values; out: [N, H, D], rows beyond S or T give zeros. Of spans: [N, H, spans, VECS + 1]
//           vectors, a span's maximum m, Σ_t exp(s - m) · v[t] and at the end (m, Σ_t exp(s - m)); spans that no row sees are not written
// Bindings  group(0)  0 params uniform · 1 qkv read · 2 slots read · 3 positions read · 4 cache read · 5 out read_write
// Dispatch  one workgroup of THREADS per ROWS rows, GROUP query heads of a key head, and span of positions:
//           (Hkv · ceil(H / Hkv / GROUP) · spans, rows folded in ROWS over y and z)
// Numerics  f32, online softmax in powers of two, TILE keys at a time; what a row does not see, if finite, changes no bit of it; sums in
//           a fixed order
// Source    Dao et al. 2023, Flash-Decoding; Dao 2023, arXiv:2307.08691, algorithm 1
const HEAD_DIM: u32 = 64u;
// Rows of a workgroup: those of one slot share its keys and values.
const ROWS: u32 = 1u;
// Query heads of a row: all of them share a key head. ROWS · GROUP is at most 8, and at most 512 / HEAD_DIM.
const GROUP: u32 = 1u;
// Whether the keys of a row are shared out over workgroups, of which cache-attention-combine puts the results together.
const HAS_SPANS: bool = false;
const HAS_WINDOW: bool = false;
const HAS_SOFTCAP: bool = false;
const THREADS: u32 = 128u;
const TILE: u32 = 64u;
// Threads that share a key: each takes every PIECES-th vector of it.
const PIECES: u32 = 4u;
// Keys that a thread has of a tile.
const OWN: u32 = TILE * PIECES / THREADS;
const VECS: u32 = HEAD_DIM / 4u;
const QUERIES: u32 = ROWS * GROUP;
// Keys of an eighth of a tile: each eighth has its own maximum at first.
const EIGHTH: u32 = TILE / 8u;
const LOG2_E: f32 = 1.4426950408889634;
const MASKED: f32 = -1e30;

// What is capped at a time.
alias Score = f32;
// Four numbers of the cache. Of f16: vec2<u32>, and widen unpacks them.
alias Element = vec4<f32>;
#include cache-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read> cache: array<Element>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

var<workgroup> q_tile: array<vec4<f32>, QUERIES * VECS>;
// Parts of scores [query, key, piece].
var<workgroup> part_tile: array<f32, QUERIES * TILE * PIECES>;
// Scores, then weights [query, key].
var<workgroup> p_tile: array<f32, QUERIES * TILE>;
// Maxima of eighths [query, eighth].
var<workgroup> eighth_tile: array<f32, QUERIES * 8u>;
// Maxima so far, and what they do to the sums so far.
var<workgroup> m_tile: array<f32, QUERIES>;
var<workgroup> keep_tile: array<f32, QUERIES>;
// At the end: parts of one query's result.
var<workgroup> out_tile: array<vec4<f32>, THREADS>;

#include attention-softcap

#include cache-first-seen

fn widen(element: Element) -> vec4<f32> {
  return element;
}

@compute @workgroup_size(THREADS)
fn cache_attention_workgroup(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let first_row = (group.y + group.z * groups.y) * ROWS;
  if (first_row >= params.rows) {
    return;
  }
  let of_head = params.heads / params.kv_heads;
  let shares = (of_head + GROUP - 1u) / GROUP;
  let span = group.x % params.spans;
  let kv_head = group.x / params.spans / shares;
  let first_of = group.x / params.spans % shares * GROUP;
  let span_start = span * params.span;

  // Bit r: row r has a place, sees something of the span, and is still to be done.
  var todo = 0u;
  for (var r = 0u; r < ROWS; r++) {
    let row = min(first_row + r, params.rows - 1u);
    let position = positions[row];
    let has_place = first_row + r < params.rows && slots[row] < params.slots && position < params.positions;
    let sees_span = position >= span_start && first_seen(position) < span_start + params.span;
    todo |= select(0u, 1u << r, has_place && sees_span);
  }
  if (HAS_SPANS && todo == 0u) {
    return;
  }

  // Rows and heads past the end repeat the last one and are not written: all threads must reach the barriers.
  for (var i = thread; i < QUERIES * VECS; i += THREADS) {
    let query = i / VECS;
    let row = min(first_row + query / GROUP, params.rows - 1u);
    let head = kv_head * of_head + min(first_of + query % GROUP, of_head - 1u);
    let q_row = (params.qkv_offset + row * params.qkv_stride) / 4u + head * VECS;
    q_tile[i] = qkv[q_row + i % VECS] * (params.scale * LOG2_E);
  }
  if (thread < QUERIES) {
    m_tile[thread] = MASKED;
  }
  // Publishes q_tile and m_tile.
  workgroupBarrier();
#for i in 0..QUERIES
  var l_${i} = 0.0;
  var out_${i} = vec4<f32>(0.0);
#end
  let piece = thread % PIECES;
  let k_own = thread / PIECES;
  // Of the values, a thread has one vector of every v_shares-th key.
  let vecs = params.head_dim / 4u;
  let v_shares = THREADS / vecs;
  let v_own = thread / vecs;
  let vector = thread % vecs;
  let width = 2u * params.kv_heads * VECS;

  while (todo != 0u) {
    // The rows of one slot.
    let slot = slots[first_row + firstTrailingBit(todo)];
    var here = 0u;
    var start = params.positions;
    var stop = 0u;
    for (var r = 0u; r < ROWS; r++) {
      let row = min(first_row + r, params.rows - 1u);
      if (((todo >> r) & 1u) == 1u && slots[row] == slot) {
        let position = positions[row];
        here |= 1u << r;
        start = min(start, max(first_seen(position), span_start));
        stop = max(stop, min(position + 1u, span_start + params.span));
      }
    }
    todo &= ~here;
    let k_base = slot * params.positions * width + kv_head * VECS;
    let v_base = k_base + params.kv_heads * VECS;
    // Tiles begin at multiples of TILE, wherever the first one starts.
    for (var key = start / TILE * TILE; key < stop; key += TILE) {
#for o in 0..OWN
      let k_row_${o} = k_base + min(key + k_own + ${o * THREADS / PIECES}u, stop - 1u) * width;
#for i in 0..QUERIES
      var part_${i}_${o} = 0.0;
#end
#end
      for (var j = piece; j < vecs; j += PIECES) {
#for o in 0..OWN
        let k_${o} = widen(cache[k_row_${o} + j]);
#end
#for i in 0..QUERIES
        let q_${i} = q_tile[${i}u * VECS + j];
#for o in 0..OWN
        part_${i}_${o} += dot(q_${i}, k_${o});
#end
#end
      }
#for i in 0..QUERIES
#for o in 0..OWN
      part_tile[(${i * TILE + o * THREADS / PIECES}u + k_own) * PIECES + piece] = part_${i}_${o};
#end
#end
      // Publishes part_tile.
      workgroupBarrier();
      for (var i = thread; i < QUERIES * TILE; i += THREADS) {
        let r = i / TILE / GROUP;
        let position = positions[min(first_row + r, params.rows - 1u)];
        let own_key = key + i % TILE;
        let sees = ((here >> r) & 1u) == 1u && own_key <= position && own_key >= first_seen(position);
        let at = i * PIECES;
        let score = (part_tile[at] + part_tile[at + 1u]) + (part_tile[at + 2u] + part_tile[at + 3u]);
        p_tile[i] = select(MASKED, cap(score), sees);
      }
      // Publishes the scores.
      workgroupBarrier();
      if (thread < QUERIES * 8u) {
        var top = MASKED;
        for (var i = 0u; i < EIGHTH; i++) {
          top = max(top, p_tile[thread * EIGHTH + i]);
        }
        eighth_tile[thread] = top;
      }
      // Publishes the maxima of eighths.
      workgroupBarrier();
      if (thread < QUERIES) {
        let m = m_tile[thread];
        var top = m;
        for (var i = 0u; i < 8u; i++) {
          top = max(top, eighth_tile[thread * 8u + i]);
        }
        m_tile[thread] = top;
        keep_tile[thread] = select(exp2(m - top), 1.0, m == top);
      }
      // Publishes m_tile and keep_tile.
      workgroupBarrier();
      for (var i = thread; i < QUERIES * TILE; i += THREADS) {
        let score = p_tile[i];
        p_tile[i] = select(exp2(score - m_tile[i / TILE]), 0.0, score == MASKED);
      }
      // Publishes the weights.
      workgroupBarrier();
      if (v_own < v_shares) {
#for i in 0..QUERIES
        let keep_${i} = keep_tile[${i}u];
        l_${i} *= keep_${i};
        out_${i} *= keep_${i};
#end
        let keys = min(TILE, stop - key);
        for (var k = v_own; k < keys; k += v_shares) {
          let value = widen(cache[v_base + (key + k) * width + vector]);
#for i in 0..QUERIES
          let p_${i} = p_tile[${i * TILE}u + k];
          l_${i} += p_${i};
          out_${i} = fma(vec4<f32>(p_${i}), value, out_${i});
#end
        }
      }
    }
  }

  // One query at a time, its parts in order.
  for (var query = 0u; query < QUERIES; query++) {
    // What was published before is read.
    workgroupBarrier();
    out_tile[thread] = out_0;
    if (vector == 0u && v_own < v_shares) {
      part_tile[v_own] = l_0;
    }
    // Publishes the parts.
    workgroupBarrier();
    let row = first_row + query / GROUP;
    let member = first_of + query % GROUP;
    if (thread < VECS && row < params.rows && member < of_head) {
      var l = 0.0;
      var sum = vec4<f32>(0.0);
      for (var i = 0u; i < v_shares; i++) {
        l += part_tile[i];
        sum += out_tile[i * VECS + thread];
      }
      let place = row * params.heads + kv_head * of_head + member;
      if (HAS_SPANS) {
        let first = (place * params.spans + span) * (VECS + 1u);
        out[first + thread] = sum;
        if (thread == 0u) {
          out[first + VECS] = vec4<f32>(m_tile[query], l, 0.0, 0.0);
        }
      } else {
        // Zeros for a row without a place: it has seen nothing.
        out[place * VECS + thread] = select(sum / l, vec4<f32>(0.0), l == 0.0);
      }
    }
#for i in 1..QUERIES
    l_${i - 1} = l_${i};
    out_${i - 1} = out_${i};
#end
  }
}
