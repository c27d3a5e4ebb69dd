// matmul-tiles.wgsl — matrix product for hardware: tiles in workgroup memory, 4 × 4 blocks in registers, read as vectors.
//
// Formula   c[s,i,j] = Σ_k a[s,i,k] · b[s,k,j], s a batch index
// Shapes    as matmul-plain.wgsl; n, the stored row length and row stride of a and b, c_row and all strides and offsets divisible by 4
// Bindings  group(0)  0 params uniform · 1 a read · 2 b read · 3 c read_write · 4… operands of a fused `store4`
// Dispatch  batch · ceil(m / TILE_M) · ceil(n / TILE_N) workgroups, folded into x and y
// Numerics  f32, k ascending as in matmul-plain.wgsl
// Source    Boehm 2022, "How to optimize a CUDA matmul kernel", kernels 6 to 10; the next tile is fetched to registers while one is computed

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
alias ElementA = vec4f;
alias ElementB = vec4f;
alias ElementC = vec4f;

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

// Where column q of line k lies: four threads that write lines k, k + 4, k + 8, k + 12 at once then meet different banks.
fn place(k: u32, q: u32) -> u32 {
  return q ^ (k / 4u % 4u * 2u);
}

// Four vectors of a's 4 × 4 block at (row, k), each one k; zeros outside. Loads are clamped into the matrix.
fn load_a(row: u32, k: u32) -> mat4x4f {
  if (row >= params.m || k >= params.k) {
    return mat4x4f();
  }
  if (A_ALONG_K) {
    let last = params.m - 1u;
    let at = base_a + k;
    return transpose(mat4x4f(
      read_a((at + row * params.a_row) / 4u),
      read_a((at + min(row + 1u, last) * params.a_row) / 4u),
      read_a((at + min(row + 2u, last) * params.a_row) / 4u),
      read_a((at + min(row + 3u, last) * params.a_row) / 4u),
    ));
  }
  let last = params.k - 1u;
  let at = base_a + row;
  // A line past the last k is a zero on this side and a repeated line on b's.
  return mat4x4f(
    read_a((at + k * params.a_k) / 4u),
    read_a((at + min(k + 1u, last) * params.a_k) / 4u) * f32(k + 1u <= last),
    read_a((at + min(k + 2u, last) * params.a_k) / 4u) * f32(k + 2u <= last),
    read_a((at + min(k + 3u, last) * params.a_k) / 4u) * f32(k + 3u <= last),
  );
}

// Likewise b's block at (k, col).
fn load_b(col: u32, k: u32) -> mat4x4f {
  if (col >= params.n || k >= params.k) {
    return mat4x4f();
  }
  if (B_ALONG_K) {
    let last = params.n - 1u;
    let at = base_b + k;
    return transpose(mat4x4f(
      read_b((at + col * params.b_col) / 4u),
      read_b((at + min(col + 1u, last) * params.b_col) / 4u),
      read_b((at + min(col + 2u, last) * params.b_col) / 4u),
      read_b((at + min(col + 3u, last) * params.b_col) / 4u),
    ));
  }
  let last = params.k - 1u;
  let at = base_b + col;
  return mat4x4f(
    read_b((at + k * params.b_k) / 4u),
    read_b((at + min(k + 1u, last) * params.b_k) / 4u),
    read_b((at + min(k + 2u, last) * params.b_k) / 4u),
    read_b((at + min(k + 3u, last) * params.b_k) / 4u),
  );
}

#include matmul-tiles

@compute @workgroup_size(THREADS)
fn matmul_tiles_workgroup(
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
        if (col < params.n) {
          store4(batch, row, col, c${4 * r + i}_${v});
        }
      }
      #end
    }
  }
  #end
  #end
}
