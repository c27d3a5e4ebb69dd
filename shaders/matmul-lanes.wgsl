// matmul-lanes.wgsl — matrix product for adapters that compute on a CPU, four columns a lane.
//
// Formula   c[s,i,j] = Σ_k a[s,i,k] · b[s,k,j], s a batch index
// Shapes    as matmul-plain.wgsl, with b_col = 1 and n, b_k, c_row and all strides and offsets of b and c divisible by 4; a is free (NN, TN)
// Bindings  group(0)  0 params uniform · 1 a read · 2 b read · 3 c read_write · 4… operands of a fused `store4`
// Dispatch  batch · ceil(m / (ROW_BLOCKS · LANES)) · ceil(n / (4 · VECTORS · LANES)) workgroups, folded into x and y
// Numerics  f32, k ascending as in matmul-plain.wgsl; the subgroup size changes tiles, never the order of a sum
// Source    measurements on Mesa lavapipe: such a driver pays about nine instructions for each element that each lane loads
enable subgroups;

// One workgroup is one subgroup: its lanes are rows where it loads a and columns where it loads b, so that no element is
// loaded twice, and a reaches the other lanes by broadcast. LANES must be the adapter's only subgroup size.
const LANES: u32 = 8u;
const ROW_BLOCKS: u32 = 2u;
const VECTORS: u32 = 2u;
const STEP: u32 = 2u;
const TILE_ROWS: u32 = ROW_BLOCKS * LANES;
const TILE_VECTORS: u32 = VECTORS * LANES;
alias ElementA = f32;
alias ElementB = vec4f;
alias ElementC = vec4f;

#include matmul-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<ElementA>;
@group(0) @binding(2) var<storage, read> b: array<ElementB>;
@group(0) @binding(3) var<storage, read_write> c: array<ElementC>;

var<private> base_c: u32;

#include matmul-index

// Elements of a and vectors of b as f32: the host replaces these functions for operands that are packed in words.
fn read_a(i: u32) -> f32 {
  return f32(a[i]);
}

fn read_b(i: u32) -> vec4f {
  return vec4f(b[i]);
}

fn store4(batch: u32, row: u32, col: u32, value: vec4f) {
  c[index_c(row, col) / 4u] = ElementC(value);
}

@compute @workgroup_size(LANES)
fn matmul_lanes(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let vectors = params.n / 4u;
  let tiles_n = (vectors + TILE_VECTORS - 1u) / TILE_VECTORS;
  let tiles_m = (params.m + TILE_ROWS - 1u) / TILE_ROWS;
  let tile = group.x + group.y * groups.x;
  let batch = tile / (tiles_n * tiles_m);
  // Uniform: the whole subgroup leaves.
  if (batch >= params.batch) {
    return;
  }
  let row0 = tile / tiles_n % tiles_m * TILE_ROWS;
  let vector0 = tile % tiles_n * TILE_VECTORS + lane;
  let outer = batch / params.batch_inner;
  let inner = batch % params.batch_inner;
  let base_a = params.offset_a + outer * params.outer_a + inner * params.inner_a;
  let base_b = (params.offset_b + outer * params.outer_b + inner * params.inner_b) / 4u;
  base_c = params.offset_c + outer * params.outer_c + inner * params.inner_c;
  // Rows and columns past the edge repeat the last one: in bounds, and never stored.
  #for r in 0..ROW_BLOCKS
  let at_a${r} = base_a + min(row0 + ${r}u * LANES + lane, params.m - 1u) * params.a_row;
  #end
  #for v in 0..VECTORS
  let at_b${v} = base_b + min(vector0 + ${v}u * LANES, vectors - 1u);
  #end
  #for i in 0..TILE_ROWS
  #for v in 0..VECTORS
  var c${i}_${v} = vec4f();
  #end
  #end
  let b_k = params.b_k / 4u;
  let last = params.k - 1u;
  for (var k = 0u; k < params.k; k += STEP) {
    // A step past the last k repeats it, with a taken as zero.
    #for j in 0..STEP
    let k${j} = min(k + ${j}u, last);
    #end
    // Row by row: rows a power of two apart share cache sets, and a line must be used up before the next rows evict it.
    #for r in 0..ROW_BLOCKS
    #for j in 0..STEP
    let a${r}_${j} = select(0.0, read_a(at_a${r} + k${j} * params.a_k), k + ${j}u <= last);
    #end
    #end
    #for v in 0..VECTORS
    #for j in 0..STEP
    let b${j}_${v} = read_b(at_b${v} + k${j} * b_k);
    #end
    #end
    #for j in 0..STEP
    #for i in 0..TILE_ROWS
    {
      let x = subgroupBroadcast(a${i / LANES}_${j}, ${i % LANES}u);
      #for v in 0..VECTORS
      c${i}_${v} += x * b${j}_${v};
      #end
    }
    #end
    #end
  }
  // One row a turn, the accumulators moving up: written out for all rows, a fused `store` would take seconds to compile.
  // The loop starts at row0 and not at 0 because the driver would unroll a loop whose trip count it can bound.
  let end = min(row0 + TILE_ROWS, params.m);
  for (var row = row0; row < end; row++) {
    #for v in 0..VECTORS
    if (vector0 + ${v}u * LANES < vectors) {
      store4(batch, row, 4u * (vector0 + ${v}u * LANES), c0_${v});
    }
    #end
    #for i in 1..TILE_ROWS
    #for v in 0..VECTORS
    c${i - 1}_${v} = c${i}_${v};
    #end
    #end
  }
}
