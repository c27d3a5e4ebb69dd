// attention-dkeyvalue-lanes.wgsl — forest attention, gradients of keys and values, for drivers on a CPU.
//
// Formula   p[q,k] = exp(s[q,k] - lse[q]) of attention-forward;  ds[q,k] = p[q,k] · (dout[q]·v[k] - delta[q]) · scale · (1 - (s / c)²)
//           dk[k] = Σ_q ds[q,k] · q[q],  dv[k] = Σ_q p[q,k] · dout[q], over the query heads of the key's group
// Shapes    q, dout: [T, H, D]; k, v, dk, dv: [T, Hkv, D] f32, row strides and offsets multiples of 4; stats: [H, T] (lse, delta)
// Bindings  group(0)  0 params uniform · 1 q read · 2 k read · 3 v read · 4 dout read · 5 stats read · 6 forest read · 7 dkv read_write
// Dispatch  one subgroup of LANES per ROWS · LANES keys of a kv head: (ceil(T / (ROWS · LANES)), Hkv, 1); dk and dv lie in one buffer
// Numerics  f32; a lane sums its keys over heads, then queries, in order: no atomics, no reduction across lanes
// Source    Dao 2023, arXiv:2307.08691, algorithm 2, split in two kernels so that nothing is summed by atomics
enable subgroups;

const LANES: u32 = 8u;
const HEAD_DIM: u32 = 32u;
// Keys of a lane: they share what a row of q and dout costs to load and to spread over the lanes.
const ROWS: u32 = 4u;
// Queries of one iteration: a power of two up to BLOCK.
const STEP: u32 = 1u;
const BLOCK: u32 = 16u;
const HAS_WINDOW: bool = false;
const HAS_SOFTCAP: bool = false;
const VECS: u32 = HEAD_DIM / 4u;
const TILE: u32 = ROWS * LANES;
// Loads of STEP rows: vector i of them is in lane i % LANES of load i / LANES, so that no element is loaded twice.
const LOADS: u32 = (STEP * VECS + LANES - 1u) / LANES;
const LOG2_E: f32 = 1.4426950408889634;

// What is capped at a time.
alias Score = f32;
#include attention-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read> forest: array<vec2<u32>>;
@group(0) @binding(7) var<storage, read_write> dkv: array<vec4<f32>>;

#include attention-softcap

#include attention-softcap-slope

#include attention-sees

@compute @workgroup_size(LANES)
fn attention_dkeyvalue_lanes(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  // From both ends in turn: the driver gives each core a contiguous half of the grid, and early keys are seen more often.
  let tile = select(group.x / 2u, grid.x - 1u - group.x / 2u, group.x % 2u == 1u);
  let kv_head = group.y;
  let heads_per_kv = params.heads / params.kv_heads;
  let first = tile * TILE;
  let last = min(first + TILE, params.tokens) - 1u;
  let k_base = params.k_offset / 4u + kv_head * VECS;
  let v_base = params.v_offset / 4u + kv_head * VECS;
  let dk_base = params.dk_offset / 4u + kv_head * VECS;
  let dv_base = params.dv_offset / 4u + kv_head * VECS;

  // Rows past the end repeat the last one and are not written.
#for r in 0..ROWS
  let key_${r} = first + ${r * LANES}u + lane;
  let row_${r} = min(key_${r}, last);
  let span_${r} = forest[row_${r}];
  let k_row_${r} = k_base + row_${r} * (params.k_stride / 4u);
  let v_row_${r} = v_base + row_${r} * (params.v_stride / 4u);
#for j in 0..VECS
  var k_${r}_${j} = vec4<f32>(0.0);
  var v_${r}_${j} = vec4<f32>(0.0);
  var dk_${r}_${j} = vec4<f32>(0.0);
  var dv_${r}_${j} = vec4<f32>(0.0);
#end
#end
  // One vector of each row at a time through shift registers: registers have no dynamic index, and a load is a lot of code.
  var vector = 0u;
  loop {
#for r in 0..ROWS
    let k_next_${r} = k[k_row_${r} + vector] * (params.scale * LOG2_E);
    let v_next_${r} = v[v_row_${r} + vector];
#for j in 1..VECS
    k_${r}_${j - 1} = k_${r}_${j};
    v_${r}_${j - 1} = v_${r}_${j};
#end
    k_${r}_${VECS - 1} = k_next_${r};
    v_${r}_${VECS - 1} = v_next_${r};
#end
    vector++;
    continuing {
      break if vector >= params.head_dim / 4u;
    }
  }
  // The queries that see any key of the tile lie in [first, end_max): descendants are contiguous.
  var end_max = 0u;
  var depth_max = 0u;
  for (var b = first / BLOCK; b <= last / BLOCK; b++) {
    end_max = max(end_max, forest[params.tokens + 2u * b].x);
    if (HAS_WINDOW) {
      depth_max = max(depth_max, forest[params.tokens + 2u * b + 1u].y);
    }
  }
  let final_block = (end_max - 1u) / BLOCK;

  // Loops test at their end: this driver runs the body once more, masked, for a test at the top.
  var head = kv_head * heads_per_kv;
  loop {
    let q_base = params.q_offset / 4u + head * VECS;
    let dout_base = params.dout_offset / 4u + head * VECS;
    var block = first / BLOCK - 1u;
    loop {
      // Skips blocks beyond the window of every key; a last block that is beyond adds zeros.
      loop {
        block++;
        var is_seen = true;
        if (HAS_WINDOW) {
          is_seen = block >= final_block || forest[params.tokens + 2u * block + 1u].x < depth_max + params.window;
        }
        continuing {
          break if is_seen;
        }
      }
      var query = max(block * BLOCK, first / STEP * STEP);
      let stop = min(block * BLOCK + BLOCK, end_max);
      loop {
        let stats_row = min(query + lane % STEP, params.tokens - 1u);
        let scalars = stats[head * params.tokens + stats_row];
        var depths = 0u;
        if (HAS_WINDOW) {
          depths = forest[stats_row].y;
        }
#for c in 0..LOADS
        let at_${c} = min(${c * LANES}u + lane, ${STEP * VECS - 1}u);
        let row_of_${c} = min(query + at_${c} / VECS, params.tokens - 1u);
        let q_${c} = q[q_base + row_of_${c} * (params.q_stride / 4u) + at_${c} % VECS];
        let dout_${c} = dout[dout_base + row_of_${c} * (params.dout_stride / 4u) + at_${c} % VECS];
#end
#for s in 0..STEP
        {
          let query_lse = subgroupBroadcast(scalars.x, ${s % LANES}u) * LOG2_E;
          let query_delta = subgroupBroadcast(scalars.y, ${s % LANES}u);
          let query_depth = subgroupBroadcast(depths, ${s % LANES}u);
#for r in 0..ROWS
          var s_${r} = 0.0;
          var dp_${r} = 0.0;
#end
#for j in 0..VECS
          let x_${j} = subgroupBroadcast(q_${(s * VECS + j) / LANES}, ${(s * VECS + j) % LANES}u);
          let y_${j} = subgroupBroadcast(dout_${(s * VECS + j) / LANES}, ${(s * VECS + j) % LANES}u);
#for r in 0..ROWS
          s_${r} += dot(x_${j}, k_${r}_${j});
          dp_${r} += dot(y_${j}, v_${r}_${j});
#end
#end
#for r in 0..ROWS
          let seen_${r} = sees(query + ${s}u, query_depth, key_${r}, span_${r}.x, span_${r}.y);
          s_${r} = cap(s_${r});
          let p_${r} = select(0.0, exp2(s_${r} - query_lse), seen_${r});
          let ds_${r} = p_${r} * (dp_${r} - query_delta) * dcap(s_${r});
#end
#for j in 0..VECS
#for r in 0..ROWS
          dv_${r}_${j} += p_${r} * y_${j};
          dk_${r}_${j} += ds_${r} * x_${j};
#end
#end
        }
#end
        query += STEP;
        continuing {
          break if query >= stop;
        }
      }
      continuing {
        break if block >= final_block;
      }
    }
    head++;
    continuing {
      break if head >= (kv_head + 1u) * heads_per_kv;
    }
  }

  vector = 0u;
  loop {
#for r in 0..ROWS
    if (key_${r} < params.tokens) {
      dkv[dk_base + key_${r} * (params.dk_stride / 4u) + vector] = dk_${r}_0 * params.scale;
      dkv[dv_base + key_${r} * (params.dv_stride / 4u) + vector] = dv_${r}_0;
    }
#for j in 1..VECS
    dk_${r}_${j - 1} = dk_${r}_${j};
    dv_${r}_${j - 1} = dv_${r}_${j};
#end
#end
    vector++;
    continuing {
      break if vector >= params.head_dim / 4u;
    }
  }
}
