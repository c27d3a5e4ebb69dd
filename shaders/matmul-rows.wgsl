// matmul-rows.wgsl — matrix product of few rows for hardware: every weight is read once for all rows.
//
// Formula   c[s,i,j] = Σ_k a[s,i,k] · b[s,k,j], s a batch index
// Shapes    as matmul-plain.wgsl with m ≤ ROWS (NN, NT); n, the stored row length and row stride of b, c_row and all strides and
//           offsets of b and c divisible by 4; a is free
// Bindings  group(0)  0 params uniform · 1 a read · 2 b read · 3 c read_write · 4… operands of a fused `store4`
// Dispatch  batch · ceil(n / (4 · LANES)) workgroups for NN, batch · ceil(n / (4 · SLICES)) for NT, folded into x and y
// Numerics  f32; the k of each slice ascend, and slices are added in their order: the same on every adapter for given constants
// Source    a product of few rows is as fast as its weights arrive: Williams 2009, doi:10.1145/1498765.1498785
const ROWS: u32 = 4u;
// NN: LANES neighbours read a line of b, SLICES of them different k. NT: LANES neighbours read along a row of b, SLICES different rows.
const LANES: u32 = 8u;
const SLICES: u32 = 32u;
const THREADS: u32 = LANES * SLICES;
// k of a that a workgroup holds at once; a multiple of 4 · LANES and of SLICES.
const CHUNK: u32 = 128u;
alias ElementA = f32;
alias ElementB = vec4f;
alias ElementC = vec4f;

#include matmul-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<ElementA>;
@group(0) @binding(2) var<storage, read> b: array<ElementB>;
@group(0) @binding(3) var<storage, read_write> c: array<ElementC>;

var<workgroup> rows_a: array<f32, ROWS * CHUNK>;
var<workgroup> parts: array<vec4f, THREADS>;

var<private> base_a: u32;
var<private> base_b: u32;
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

fn set_bases(batch: u32) {
  let outer = batch / params.batch_inner;
  let inner = batch % params.batch_inner;
  base_a = params.offset_a + outer * params.outer_a + inner * params.inner_a;
  base_b = params.offset_b + outer * params.outer_b + inner * params.inner_b;
  base_c = params.offset_c + outer * params.outer_c + inner * params.inner_c;
}

// Brings k0 … k0 + CHUNK - 1 of every row of a; zeros where there is none.
fn stage_a(k0: u32, thread: u32) {
  // The chunk before this one has been read.
  workgroupBarrier();
  for (var at = thread; at < ROWS * CHUNK; at += THREADS) {
    let row = at / CHUNK;
    let k = k0 + at % CHUNK;
    let from_a = base_a + min(row, params.m - 1u) * params.a_row + min(k, params.k - 1u) * params.a_k;
    rows_a[at] = select(0.0, read_a(from_a), row < params.m && k < params.k);
  }
  // Publishes the chunk.
  workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn matmul_rows_nn_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let tiles = (params.n + 4u * LANES - 1u) / (4u * LANES);
  let id = group.x + group.y * groups.x;
  let batch = id / tiles;
  // Uniform: the whole workgroup leaves.
  if (batch >= params.batch) {
    return;
  }
  set_bases(batch);
  let slice = thread / LANES;
  let col = (id % tiles * LANES + thread % LANES) * 4u;
  // Columns past the edge repeat the last ones: in bounds, and never stored.
  let at_b = base_b + min(col, params.n - 4u);
  #for r in 0..ROWS
  var c${r} = vec4f();
  #end
  for (var k0 = 0u; k0 < params.k; k0 += CHUNK) {
    stage_a(k0, thread);
    let end = min(CHUNK, params.k - k0);
    for (var k = slice; k < end; k += SLICES) {
      let line = read_b((at_b + (k0 + k) * params.b_k) / 4u);
      #for r in 0..ROWS
      c${r} += rows_a[${r}u * CHUNK + k] * line;
      #end
    }
  }
  // The loop, with the accumulators moving up, keeps the barriers in the text few.
  for (var row = 0u; row < params.m; row++) {
    // The row before this one has been read.
    workgroupBarrier();
    parts[thread] = c0;
    // Publishes what every slice has summed.
    workgroupBarrier();
    if (slice == 0u && col < params.n) {
      var sum = c0;
      for (var other = 1u; other < SLICES; other++) {
        sum += parts[other * LANES + thread];
      }
      store4(batch, row, col, sum);
    }
    #for r in 1..ROWS
    c${r - 1} = c${r};
    #end
  }
}

@compute @workgroup_size(THREADS)
fn matmul_rows_nt_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let tiles = (params.n + 4u * SLICES - 1u) / (4u * SLICES);
  let id = group.x + group.y * groups.x;
  let batch = id / tiles;
  // Uniform: the whole workgroup leaves.
  if (batch >= params.batch) {
    return;
  }
  set_bases(batch);
  let lane = thread % LANES;
  // A slice computes four columns, whose weights are four rows of b.
  let col = (id % tiles * SLICES + thread / LANES) * 4u;
  let at_b = base_b + min(col, params.n - 4u) * params.b_col;
  #for r in 0..ROWS
  var c${r} = vec4f();
  #end
  for (var k0 = 0u; k0 < params.k; k0 += CHUNK) {
    stage_a(k0, thread);
    let end = min(CHUNK, params.k - k0);
    for (var k = 4u * lane; k < end; k += 4u * LANES) {
      let at = at_b + k0 + k;
      #for i in 0..4
      let b${i} = read_b((at + ${i}u * params.b_col) / 4u);
      #end
      #for r in 0..ROWS
      {
        let x = vec4f(
          rows_a[${r}u * CHUNK + k],
          rows_a[${r}u * CHUNK + k + 1u],
          rows_a[${r}u * CHUNK + k + 2u],
          rows_a[${r}u * CHUNK + k + 3u],
        );
        c${r} += vec4f(dot(x, b0), dot(x, b1), dot(x, b2), dot(x, b3));
      }
      #end
    }
  }
  // The loop, with the accumulators moving up, keeps the barriers in the text few.
  for (var row = 0u; row < params.m; row++) {
    // The row before this one has been read.
    workgroupBarrier();
    parts[thread] = c0;
    // Publishes what every lane has summed.
    workgroupBarrier();
    if (lane == 0u && col < params.n) {
      var sum = c0;
      for (var other = 1u; other < LANES; other++) {
        sum += parts[thread + other];
      }
      store4(batch, row, col, sum);
    }
    #for r in 1..ROWS
    c${r - 1} = c${r};
    #end
  }
}
