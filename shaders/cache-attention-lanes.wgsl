// cache-attention-lanes.wgsl — attention of rows over a cache for adapters that compute on a CPU: a lane has every LANES-th key.
//
// Formula   s[n,t] = scale · q[n]·k[t], softcapped: c·tanh(s / c); row n sees t iff t ≤ position[n] and position[n] - t < window
//           out[n] = Σ_t exp(s[n,t]) · v[t] / Σ_t exp(s[n,t]), keys and values of slot slots[n]
// Shapes    qkv: [N, (H + 2·Hkv)·D] f32, row stride and offset multiples of 4; slots, positions: [N] u32;
//           cache: [S, T, 2·Hkv·D], keys then values; out: [N, H, D]. Rows beyond S or T give zeros
// Bindings  group(0)  0 params uniform · 1 qkv read · 2 slots read · 3 positions read · 4 cache read · 5 out read_write
// Dispatch  one workgroup of LANES threads (a subgroup) per ROWS rows and GROUP query heads of a key head:
//           (Hkv · ceil(H / Hkv / GROUP), rows folded in ROWS over y and z): a slot's heads follow each other, as its lines do
// Numerics  f32, online softmax in powers of two in each lane, then the lanes in order; what a row does not see, if finite, changes no
//           bit of it, so that its result depends on its own keys only
// Source    Dao 2023, arXiv:2307.08691, algorithm 1; the split over lanes: Dao et al. 2023, Flash-Decoding
enable subgroups;

const LANES: u32 = 8u;
const HEAD_DIM: u32 = 32u;
// Rows of a workgroup: those of one slot share what its keys and values cost to load.
const ROWS: u32 = 1u;
// Query heads of a row: all of them share a key head.
const GROUP: u32 = 2u;
// Vectors of a key that the loops take at a time, a divisor of VECS: each load is a lot of code.
const CHUNK: u32 = 4u;
const HAS_WINDOW: bool = false;
const HAS_SOFTCAP: bool = false;
const VECS: u32 = HEAD_DIM / 4u;
const QUERIES: u32 = ROWS * GROUP;
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

#include attention-softcap

#include cache-first-seen

fn widen(element: Element) -> vec4<f32> {
  return element;
}

@compute @workgroup_size(LANES)
fn cache_attention_lanes(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let tiles = (params.rows + ROWS - 1u) / ROWS;
  let index = group.y + group.z * groups.y;
  if (index >= tiles) {
    return;
  }
  // From both ends in turn: the driver gives each core a contiguous part of the grid, and the late rows of a chunk see more.
  let first_row = select(index / 2u, tiles - 1u - index / 2u, index % 2u == 1u) * ROWS;
  let of_head = params.heads / params.kv_heads;
  let shares = (of_head + GROUP - 1u) / GROUP;
  let kv_head = group.x / shares;
  let first_of = group.x % shares * GROUP;

  let own_row = min(first_row + lane % ROWS, params.rows - 1u);
  let own_slot = slots[own_row];
  let own_position = positions[own_row];
  // Bit r: row r has a place and is still to be done.
  var todo = 0u;
#for r in 0..ROWS
  let slot_${r} = subgroupBroadcast(own_slot, ${r}u);
  let position_${r} = subgroupBroadcast(own_position, ${r}u);
  let has_place_${r} = first_row + ${r}u < params.rows && slot_${r} < params.slots && position_${r} < params.positions;
  todo |= select(0u, 1u << ${r}u, has_place_${r});
#end
  // Rows and heads past the end repeat the last one and are not written.
#for i in 0..QUERIES
  let row_${i} = min(first_row + ${i / GROUP}u, params.rows - 1u);
  let head_${i} = kv_head * of_head + min(first_of + ${i % GROUP}u, of_head - 1u);
  let q_row_${i} = (params.qkv_offset + row_${i} * params.qkv_stride) / 4u + head_${i} * VECS;
  var m_${i} = MASKED;
  var l_${i} = 0.0;
#for j in 0..VECS
  var q_${i}_${j} = vec4<f32>(0.0);
  var out_${i}_${j} = vec4<f32>(0.0);
#end
#end
  // One vector at a time through shift registers: registers have no dynamic index.
  var vector = 0u;
  loop {
#for i in 0..QUERIES
    let q_next_${i} = qkv[q_row_${i} + vector] * (params.scale * LOG2_E);
#for j in 1..VECS
    q_${i}_${j - 1} = q_${i}_${j};
#end
    q_${i}_${VECS - 1} = q_next_${i};
#end
    vector++;
    continuing {
      break if vector >= params.head_dim / 4u;
    }
  }

  let width = 2u * params.kv_heads * VECS;
  loop {
    if (todo == 0u) {
      break;
    }
    // The rows of one slot.
    let next = firstTrailingBit(todo);
    var slot = slot_0;
#for r in 1..ROWS
    slot = select(slot, slot_${r}, next == ${r}u);
#end
    var start = params.positions;
    var stop = 0u;
#for r in 0..ROWS
    let is_here_${r} = (todo & (1u << ${r}u)) != 0u && slot_${r} == slot;
    if (is_here_${r}) {
      todo &= ~(1u << ${r}u);
      start = min(start, first_seen(position_${r}));
      stop = max(stop, position_${r} + 1u);
    }
#end
    let k_base = slot * params.positions * width + kv_head * VECS;
    let v_base = k_base + params.kv_heads * VECS;
    // Key t is lane t % LANES's, wherever the loop starts. Loops test at their end: this driver runs the body once more,
    // masked, for a test at the top.
    var key = start / LANES * LANES + lane;
    loop {
      let place = min(key, stop - 1u) * width;
#for i in 0..QUERIES
      var p_${i} = 0.0;
#end
      var at = 0u;
      loop {
#for c in 0..CHUNK
        let k_${c} = widen(cache[k_base + place + at + ${c}u]);
#for i in 0..QUERIES
        p_${i} += dot(k_${c}, q_${i}_${c});
#end
#end
#for i in 0..QUERIES
#for c in 0..CHUNK
        let q_done_${i}_${c} = q_${i}_${c};
#end
#for j in CHUNK..VECS
        q_${i}_${j - CHUNK} = q_${i}_${j};
#end
#for c in 0..CHUNK
        q_${i}_${VECS - CHUNK + c} = q_done_${i}_${c};
#end
#end
        at += CHUNK;
        continuing {
          break if at >= params.head_dim / 4u;
        }
      }
#for i in 0..QUERIES
      let sees_${i} = is_here_${i / GROUP} && key <= position_${i / GROUP} && key >= first_seen(position_${i / GROUP});
      let m_old_${i} = m_${i};
      p_${i} = cap(p_${i});
      m_${i} = select(m_${i}, max(m_${i}, p_${i}), sees_${i});
      let keep_${i} = select(1.0, exp2(m_old_${i} - m_${i}), sees_${i});
      p_${i} = select(0.0, exp2(p_${i} - m_${i}), sees_${i});
      l_${i} = l_${i} * keep_${i} + p_${i};
#end
      at = 0u;
      loop {
#for c in 0..CHUNK
        let v_${c} = widen(cache[v_base + place + at + ${c}u]);
#end
#for i in 0..QUERIES
#for c in 0..CHUNK
        let out_done_${i}_${c} = out_${i}_${c} * keep_${i} + p_${i} * v_${c};
#end
#for j in CHUNK..VECS
        out_${i}_${j - CHUNK} = out_${i}_${j};
#end
#for c in 0..CHUNK
        out_${i}_${VECS - CHUNK + c} = out_done_${i}_${c};
#end
#end
        at += CHUNK;
        continuing {
          break if at >= params.head_dim / 4u;
        }
      }
      key += LANES;
      continuing {
        break if key - lane >= stop;
      }
    }
  }

#for i in 0..QUERIES
  var top_${i} = m_${i};
#for s in 0..LANES
  top_${i} = max(top_${i}, subgroupBroadcast(m_${i}, ${s}u));
#end
  let weight_${i} = exp2(m_${i} - top_${i});
  let part_${i} = l_${i} * weight_${i};
  var sum_${i} = 0.0;
#for s in 0..LANES
  sum_${i} += subgroupBroadcast(part_${i}, ${s}u);
#end
  // Zeros for a row without a place: it has seen nothing.
  let share_${i} = select(weight_${i} / sum_${i}, 0.0, sum_${i} == 0.0);
  let is_mine_${i} = lane == 0u && first_row + ${i / GROUP}u < params.rows && first_of + ${i % GROUP}u < of_head;
#end
  vector = 0u;
  loop {
#for i in 0..QUERIES
    {
      let own = out_${i}_0 * share_${i};
      var all = vec4<f32>(0.0);
#for s in 0..LANES
      all += subgroupBroadcast(own, ${s}u);
#end
      if (is_mine_${i}) {
        out[(row_${i} * params.heads + head_${i}) * VECS + vector] = all;
      }
    }
#for j in 1..VECS
    out_${i}_${j - 1} = out_${i}_${j};
#end
#end
    vector++;
    continuing {
      break if vector >= params.head_dim / 4u;
    }
  }
}
