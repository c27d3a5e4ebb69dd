// attention-forward-lanes.wgsl — forest attention, forward, for drivers on a CPU: lanes share loads, no barriers.
//
// Formula   s[q,k] = scale · q[q]·k[k], softcapped: c·tanh(s / c); q sees k iff k ≤ q < end[k] and depth[q] - depth[k] < window
//           out[q] = Σ_k exp(s[q,k] - lse[q]) · v[k],  lse[q] = log Σ_k exp(s[q,k])
// Shapes    q, out: [T, H, D]; k, v: [T, Hkv, D] f32, row strides and offsets multiples of 4; forest: see attention-forest.wgsl; lse: [H, T]
// Bindings  group(0)  0 params uniform · 1 q read · 2 k read · 3 v read · 4 forest read · 5 out read_write · 6 lse read_write
// Dispatch  one subgroup of LANES per ROWS · LANES queries of a head: (ceil(T / (ROWS · LANES)), H, 1)
// Numerics  f32, online softmax in powers of two, STEP keys at a time; masked weights are exactly 0; no reduction across lanes
// Source    Dao 2023, arXiv:2307.08691, algorithm 1; ORT flash_attention.wgsl.template (rows of K and V exchanged between lanes)
enable subgroups;

const LANES: u32 = 8u;
const HEAD_DIM: u32 = 32u;
// Queries of a lane: they share what a row of K and V costs to load and to spread over the lanes.
const ROWS: u32 = 4u;
// Keys of one iteration: a power of two up to BLOCK.
const STEP: u32 = 2u;
const BLOCK: u32 = 16u;
const HAS_WINDOW: bool = false;
const HAS_SOFTCAP: bool = false;
const VECS: u32 = HEAD_DIM / 4u;
const TILE: u32 = ROWS * LANES;
// Loads of STEP rows: vector i of them is in lane i % LANES of load i / LANES, so that no element is loaded twice.
const LOADS: u32 = (STEP * VECS + LANES - 1u) / LANES;
const LOG2_E: f32 = 1.4426950408889634;
const LN_2: f32 = 0.6931471805599453;
const MASKED: f32 = -1e30;

// What is capped at a time.
alias Score = f32;
#include attention-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> forest: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;

#include attention-softcap

#include attention-sees

@compute @workgroup_size(LANES)
fn attention_forward_lanes(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  // From both ends in turn: the driver gives each core a contiguous half of the grid, and late queries see more keys.
  let tile = select(group.x / 2u, grid.x - 1u - group.x / 2u, group.x % 2u == 1u);
  let head = group.y;
  let kv_head = head / (params.heads / params.kv_heads);
  let first = tile * TILE;
  let last = min(first + TILE, params.tokens) - 1u;
  let q_base = params.q_offset / 4u + head * VECS;
  let k_base = params.k_offset / 4u + kv_head * VECS;
  let v_base = params.v_offset / 4u + kv_head * VECS;
  let out_base = params.out_offset / 4u + head * VECS;

  // Rows past the end repeat the last one and are not written.
#for r in 0..ROWS
  let query_${r} = first + ${r * LANES}u + lane;
  let row_${r} = min(query_${r}, last);
  let q_row_${r} = q_base + row_${r} * (params.q_stride / 4u);
  var depth_${r} = 0u;
  if (HAS_WINDOW) {
    depth_${r} = forest[row_${r}].y;
  }
  var m_${r} = MASKED;
  var l_${r} = 0.0;
#for j in 0..VECS
  var q_${r}_${j} = vec4<f32>(0.0);
  var out_${r}_${j} = vec4<f32>(0.0);
#end
#end
  // One vector of each row at a time through shift registers: registers have no dynamic index, and a load is a lot of code.
  var vector = 0u;
  loop {
#for r in 0..ROWS
    let q_next_${r} = q[q_row_${r} + vector] * (params.scale * LOG2_E);
#for j in 1..VECS
    q_${r}_${j - 1} = q_${r}_${j};
#end
    q_${r}_${VECS - 1} = q_next_${r};
#end
    vector++;
    continuing {
      break if vector >= params.head_dim / 4u;
    }
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
  var block = root / BLOCK - 1u;
  // Loops test at their end: this driver runs the body once more, masked, for a test at the top.
  loop {
    // Skips blocks that ended before the first query, or lie before its window. The block of the last query is alive.
    loop {
      block++;
      let span = forest[params.tokens + 2u * block];
      var is_seen = span.x > first;
      if (HAS_WINDOW) {
        let depth_max = forest[params.tokens + 2u * block + 1u].y;
        is_seen = is_seen && depth_min < depth_max + params.window;
      }
      continuing {
        break if is_seen;
      }
    }
    var key = max(block * BLOCK, root / STEP * STEP);
    let stop = min(block * BLOCK + BLOCK, last + 1u);
    loop {
      let span = forest[min(key + lane % STEP, last)];
#for c in 0..LOADS
      let at_${c} = min(${c * LANES}u + lane, ${STEP * VECS - 1}u);
      let row_of_${c} = min(key + at_${c} / VECS, last);
      let k_${c} = k[k_base + row_of_${c} * (params.k_stride / 4u) + at_${c} % VECS];
#end
#for s in 0..STEP
      let end_${s} = subgroupBroadcast(span.x, ${s % LANES}u);
      let key_depth_${s} = subgroupBroadcast(span.y, ${s % LANES}u);
#for r in 0..ROWS
      var p_${s}_${r} = 0.0;
#end
#for j in 0..VECS
      {
        let x = subgroupBroadcast(k_${(s * VECS + j) / LANES}, ${(s * VECS + j) % LANES}u);
#for r in 0..ROWS
        p_${s}_${r} += dot(x, q_${r}_${j});
#end
      }
#end
#end
#for c in 0..LOADS
      let v_${c} = v[v_base + row_of_${c} * (params.v_stride / 4u) + at_${c} % VECS];
#end
#for r in 0..ROWS
      let m_old_${r} = m_${r};
#for s in 0..STEP
      let seen_${s}_${r} = sees(query_${r}, depth_${r}, key + ${s}u, end_${s}, key_depth_${s});
      p_${s}_${r} = select(MASKED, cap(p_${s}_${r}), seen_${s}_${r});
      m_${r} = max(m_${r}, p_${s}_${r});
#end
      let keep_${r} = exp2(m_old_${r} - m_${r});
      l_${r} *= keep_${r};
#for s in 0..STEP
      p_${s}_${r} = select(0.0, exp2(p_${s}_${r} - m_${r}), seen_${s}_${r});
      l_${r} += p_${s}_${r};
#end
#for j in 0..VECS
      out_${r}_${j} *= keep_${r};
#end
#end
#for s in 0..STEP
#for j in 0..VECS
      {
        let x = subgroupBroadcast(v_${(s * VECS + j) / LANES}, ${(s * VECS + j) % LANES}u);
#for r in 0..ROWS
        out_${r}_${j} += p_${s}_${r} * x;
#end
      }
#end
#end
      key += STEP;
      continuing {
        break if key >= stop;
      }
    }
    continuing {
      break if (block + 1u) * BLOCK > last;
    }
  }

#for r in 0..ROWS
  let inverse_${r} = 1.0 / l_${r};
  if (query_${r} < params.tokens) {
    lse[head * params.tokens + query_${r}] = m_${r} * LN_2 + log(l_${r});
  }
#end
  vector = 0u;
  loop {
#for r in 0..ROWS
    if (query_${r} < params.tokens) {
      out[out_base + query_${r} * (params.out_stride / 4u) + vector] = out_${r}_0 * inverse_${r};
    }
#for j in 1..VECS
    out_${r}_${j - 1} = out_${r}_${j};
#end
#end
    vector++;
    continuing {
      break if vector >= params.head_dim / 4u;
    }
  }
}
