// matmul-tiles-any.wgsl — matrix product for hardware: tiles in workgroup memory, any shape and stride.
//
// Formula   c[s,i,j] = Σ_k a[s,i,k] · b[s,k,j], s a batch index
// Shapes    as matmul-plain.wgsl, every stride free
// Bindings  group(0)  0 params uniform · 1 a read · 2 b read · 3 c read_write · 4… operands of a fused `store`
// Dispatch  batch · ceil(m / TILE_M) · ceil(n / TILE_N) workgroups, folded into x and y
// Numerics  f32, k ascending as in matmul-plain.wgsl
// Source    matmul-tiles.wgsl with elements loaded one by one

// A thread computes 4 ROWS × 4 COLUMNS of c. TILE_K · (TILE_M + TILE_N) / 16 must be a multiple of THREADS.
const TILE_M: u32 = 128u;
const TILE_N: u32 = 128u;
const TILE_K: u32 = 16u;
const ROWS: u32 = 2u;
const COLUMNS: u32 = 2u;
// Whether neighbours in memory are neighbours along k (a in NN and NT, b in NT) or across it.
const A_ALONG_K: bool = true;
const B_ALONG_K: bool = false;
// Rows of tiles whose workgroups run together, so that they find each other's b in the cache.
const GROUP_ROWS: u32 = 8u;
const LINE_M: u32 = TILE_M / 4u;
const LINE_N: u32 = TILE_N / 4u;
const LINE_K: u32 = TILE_K / 4u;
const THREADS_M: u32 = LINE_M / ROWS;
const THREADS_N: u32 = LINE_N / COLUMNS;
const THREADS: u32 = THREADS_M * THREADS_N;
const BLOCKS_A: u32 = LINE_M * LINE_K;
const BLOCKS: u32 = BLOCKS_A + LINE_N * LINE_K;
const BLOCKS_PER_THREAD: u32 = BLOCKS / THREADS;
alias ElementA = f32;
alias ElementB = f32;
alias ElementC = f32;

#include matmul-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<ElementA>;
@group(0) @binding(2) var<storage, read> b: array<ElementB>;
@group(0) @binding(3) var<storage, read_write> c: array<ElementC>;

// tile[k][q]: element k of four rows of a, or of four columns of b; q is swizzled by `place`.
var<workgroup> tile_a: array<vec4f, TILE_K * LINE_M>;
var<workgroup> tile_b: array<vec4f, TILE_K * LINE_N>;

var<private> base_a: u32;
var<private> base_b: u32;
var<private> base_c: u32;

#include matmul-index

// Elements as f32: the host replaces these functions for operands that are packed in words.
fn read_a(i: u32) -> f32 {
  return f32(a[i]);
}

fn read_b(i: u32) -> f32 {
  return f32(b[i]);
}

fn store(batch: u32, row: u32, col: u32, value: f32) {
  c[index_c(row, col)] = ElementC(value);
}

// Where column q of line k lies: four threads that write lines k, k + 4, k + 8, k + 12 at once then meet different banks.
fn place(k: u32, q: u32) -> u32 {
  return q ^ (k / 4u % 4u * 2u);
}

// Element k of rows row … row + 3 of a; loads are clamped into the matrix, and a k past the last gives zeros.
fn line_a(row: u32, k: u32) -> vec4f {
  let last = params.m - 1u;
  let at = base_a + min(k, params.k - 1u) * params.a_k;
  let line = vec4f(
    read_a(at + min(row, last) * params.a_row),
    read_a(at + min(row + 1u, last) * params.a_row),
    read_a(at + min(row + 2u, last) * params.a_row),
    read_a(at + min(row + 3u, last) * params.a_row),
  );
  return select(vec4f(), line, k < params.k);
}

fn line_b(col: u32, k: u32) -> vec4f {
  let last = params.n - 1u;
  let at = base_b + min(k, params.k - 1u) * params.b_k;
  return vec4f(
    read_b(at + min(col, last) * params.b_col),
    read_b(at + min(col + 1u, last) * params.b_col),
    read_b(at + min(col + 2u, last) * params.b_col),
    read_b(at + min(col + 3u, last) * params.b_col),
  );
}

fn load_a(row: u32, k: u32) -> mat4x4f {
  return mat4x4f(line_a(row, k), line_a(row, k + 1u), line_a(row, k + 2u), line_a(row, k + 3u));
}

fn load_b(col: u32, k: u32) -> mat4x4f {
  return mat4x4f(line_b(col, k), line_b(col, k + 1u), line_b(col, k + 2u), line_b(col, k + 3u));
}

#include matmul-tiles

@compute @workgroup_size(THREADS)
fn matmul_tiles_any_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
#include matmul-tiles-product
  #for r in 0..ROWS
  #for i in 0..4
  {
    let row = row0 + (thread_m + ${r}u * THREADS_M) * 4u + ${i}u;
    if (row < params.m) {
      #for v in 0..COLUMNS
      {
        let col = col0 + (thread_n + ${v}u * THREADS_N) * 4u;
        #for j in 0..4
        if (col + ${j}u < params.n) {
          store(batch, row, col + ${j}u, c${4 * r + i}_${v}[${j}]);
        }
        #end
      }
      #end
    }
  }
  #end
  #end
}
