// matmul-matrix.wgsl — matrix product on subgroup matrices (tensor cores): operands rounded to f16, sums in f32.
//
// Formula   c[s,i,j] = Σ_k f16(a[s,i,k]) · f16(b[s,k,j]), s a batch index
// Shapes    as matmul-plain.wgsl; n, the stored row length and row stride of a and b, c_row and all strides and offsets divisible by 4
// Bindings  group(0)  0 params uniform · 1 a read · 2 b read · 3 c read_write · 4… operands of a fused `store4`
// Dispatch  batch · ceil(m / TILE_M) · ceil(n / TILE_N) workgroups, folded into x and y
// Numerics  operands lose 13 bits of mantissa and overflow above 65504; products are exact, sums f32 in the hardware's order
// Source    Dawn chromium_experimental_subgroup_matrix, f16 16 × 16 × 16 with f32 result; ONNX Runtime subgroup_matrix_matmul_nbits
enable f16;
enable subgroups;
enable subgroup_size_control;
enable chromium_experimental_subgroup_matrix;

// A subgroup of 32 computes 16 ROWS × 16 COLUMNS of c; SUBGROUPS_M · SUBGROUPS_N of them share a tile.
const ROWS: u32 = 4u;
const COLUMNS: u32 = 2u;
const SUBGROUPS_M: u32 = 2u;
const SUBGROUPS_N: u32 = 4u;
const TILE_K: u32 = 32u;
// Whether neighbours in memory are neighbours along k (a in NN and NT, b in NT) or across it.
const A_ALONG_K: bool = true;
const B_ALONG_K: bool = false;
// Rows of tiles whose workgroups run together, so that they find each other's b in the cache.
const GROUP_ROWS: u32 = 8u;
const TILE_M: u32 = 16u * ROWS * SUBGROUPS_M;
const TILE_N: u32 = 16u * COLUMNS * SUBGROUPS_N;
const SUBGROUPS: u32 = SUBGROUPS_M * SUBGROUPS_N;
const THREADS: u32 = 32u * SUBGROUPS;
const LOADS_A: u32 = TILE_M * TILE_K / 4u / THREADS;
const LOADS_B: u32 = TILE_N * TILE_K / 4u / THREADS;
// Lines of the tiles as vectors, padded by two so that the rows of a matrix start in different banks.
const PAD: u32 = 2u;
const LINE_K: u32 = TILE_K / 4u + PAD;
const LINE_M: u32 = TILE_M / 4u + PAD;
const LINE_N: u32 = TILE_N / 4u + PAD;
alias ElementA = vec4f;
alias ElementB = vec4f;
alias ElementC = vec4f;

#include matmul-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<ElementA>;
@group(0) @binding(2) var<storage, read> b: array<ElementB>;
@group(0) @binding(3) var<storage, read_write> c: array<ElementC>;

// As in memory: lines along k, one a row of a or column of b, or lines across k, one a k; the first layout is the larger.
var<workgroup> tile_a: array<vec4<f16>, TILE_M * LINE_K>;
var<workgroup> tile_b: array<vec4<f16>, TILE_N * LINE_K>;
// A result matrix has no readable elements: each subgroup passes its own through here, one at a time.
var<workgroup> results: array<f32, SUBGROUPS * 256u>;

var<private> base_a: u32;
var<private> base_b: u32;
var<private> base_c: u32;

#include matmul-index

// Vectors as f32: the host replaces these functions for operands that are packed in words.
fn read_a(i: u32) -> vec4f {
  return vec4f(a[i]);
}

fn read_b(i: u32) -> vec4f {
  return vec4f(b[i]);
}

fn store4(batch: u32, row: u32, col: u32, value: vec4f) {
  c[index_c(row, col) / 4u] = ElementC(value);
}

// Vector `at` of the tile of a: four k of a row, or four rows at one k; zeros outside, in bounds everywhere.
fn fetch_a(at: u32, row0: u32, k0: u32) -> vec4f {
  var row = row0;
  var k = k0;
  if (A_ALONG_K) {
    row += at / (TILE_K / 4u);
    k += at % (TILE_K / 4u) * 4u;
  } else {
    row += at % (TILE_M / 4u) * 4u;
    k += at / (TILE_M / 4u);
  }
  if (row >= params.m || k >= params.k) {
    return vec4f();
  }
  return read_a((base_a + row * params.a_row + k * params.a_k) / 4u);
}

fn fetch_b(at: u32, col0: u32, k0: u32) -> vec4f {
  var col = col0;
  var k = k0;
  if (B_ALONG_K) {
    col += at / (TILE_K / 4u);
    k += at % (TILE_K / 4u) * 4u;
  } else {
    col += at % (TILE_N / 4u) * 4u;
    k += at / (TILE_N / 4u);
  }
  if (col >= params.n || k >= params.k) {
    return vec4f();
  }
  return read_b((base_b + col * params.b_col + k * params.b_k) / 4u);
}

fn put_a(at: u32, value: vec4f) {
  if (A_ALONG_K) {
    tile_a[at / (TILE_K / 4u) * LINE_K + at % (TILE_K / 4u)] = vec4<f16>(value);
  } else {
    tile_a[at / (TILE_M / 4u) * LINE_M + at % (TILE_M / 4u)] = vec4<f16>(value);
  }
}

fn put_b(at: u32, value: vec4f) {
  if (B_ALONG_K) {
    tile_b[at / (TILE_K / 4u) * LINE_K + at % (TILE_K / 4u)] = vec4<f16>(value);
  } else {
    tile_b[at / (TILE_N / 4u) * LINE_N + at % (TILE_N / 4u)] = vec4<f16>(value);
  }
}

@compute @workgroup_size(THREADS) @subgroup_size(32)
fn matmul_matrix_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let tiles_n = (params.n + TILE_N - 1u) / TILE_N;
  let tiles_m = (params.m + TILE_M - 1u) / TILE_M;
  let id = group.x + group.y * groups.x;
  let batch = id / (tiles_n * tiles_m);
  // Uniform: the whole workgroup leaves.
  if (batch >= params.batch) {
    return;
  }
  let tile = id % (tiles_n * tiles_m);
  let first_row = tile / (GROUP_ROWS * tiles_n) * GROUP_ROWS;
  let group_rows = min(GROUP_ROWS, tiles_m - first_row);
  let in_group = tile % (GROUP_ROWS * tiles_n);
  let row0 = (first_row + in_group % group_rows) * TILE_M;
  let col0 = in_group / group_rows * TILE_N;
  let outer = batch / params.batch_inner;
  let inner = batch % params.batch_inner;
  base_a = params.offset_a + outer * params.outer_a + inner * params.inner_a;
  base_b = params.offset_b + outer * params.outer_b + inner * params.inner_b;
  base_c = params.offset_c + outer * params.outer_c + inner * params.inner_c;
  // This subgroup's place in the tile.
  let own_m = subgroup / SUBGROUPS_N * (16u * ROWS);
  let own_n = subgroup % SUBGROUPS_N * (16u * COLUMNS);
  #for i in 0..ROWS
  #for j in 0..COLUMNS
  var c${i}_${j}: subgroup_matrix_result<f32, 16, 16>;
  #end
  #end
  // The next tile waits in registers while this one is multiplied.
  #for i in 0..LOADS_A
  var a_next${i} = fetch_a(thread + ${i}u * THREADS, row0, 0u);
  #end
  #for i in 0..LOADS_B
  var b_next${i} = fetch_b(thread + ${i}u * THREADS, col0, 0u);
  #end
  for (var k0 = 0u; k0 < params.k; k0 += TILE_K) {
    // The tile before this one has been read.
    workgroupBarrier();
    #for i in 0..LOADS_A
    put_a(thread + ${i}u * THREADS, a_next${i});
    #end
    #for i in 0..LOADS_B
    put_b(thread + ${i}u * THREADS, b_next${i});
    #end
    // Publishes the tile.
    workgroupBarrier();
    #for i in 0..LOADS_A
    a_next${i} = fetch_a(thread + ${i}u * THREADS, row0, k0 + TILE_K);
    #end
    #for i in 0..LOADS_B
    b_next${i} = fetch_b(thread + ${i}u * THREADS, col0, k0 + TILE_K);
    #end
    for (var k = 0u; k < TILE_K; k += 16u) {
      #for i in 0..ROWS
      var a${i}: subgroup_matrix_left<f16, 16, 16>;
      if (A_ALONG_K) {
        a${i} = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(
          &tile_a, (own_m + ${16 * i}u) * LINE_K + k / 4u, LINE_K);
      } else {
        a${i} = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, col_major>(
          &tile_a, k * LINE_M + (own_m + ${16 * i}u) / 4u, LINE_M);
      }
      #end
      #for j in 0..COLUMNS
      var b${j}: subgroup_matrix_right<f16, 16, 16>;
      if (B_ALONG_K) {
        b${j} = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(
          &tile_b, (own_n + ${16 * j}u) * LINE_K + k / 4u, LINE_K);
      } else {
        b${j} = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(
          &tile_b, k * LINE_N + (own_n + ${16 * j}u) / 4u, LINE_N);
      }
      #end
      #for i in 0..ROWS
      #for j in 0..COLUMNS
      c${i}_${j} = subgroupMatrixMultiplyAccumulate(a${i}, b${j}, c${i}_${j});
      #end
      #end
    }
  }
  #for i in 0..ROWS
  #for j in 0..COLUMNS
  // The matrix before this one has been read.
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&results, subgroup * 256u, c${i}_${j}, 16u);
  // Publishes the matrix.
  workgroupBarrier();
  #for h in 0..2
  {
    let at = lane + ${32 * h}u;
    let row = row0 + own_m + ${16 * i}u + at / 4u;
    let col = col0 + own_n + ${16 * j}u + at % 4u * 4u;
    if (row < params.m && col < params.n) {
      let from_c = subgroup * 256u + at * 4u;
      store4(batch, row, col, vec4f(results[from_c], results[from_c + 1u], results[from_c + 2u], results[from_c + 3u]));
    }
  }
  #end
  #end
  #end
}
