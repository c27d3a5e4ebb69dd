// matmul-transpose.wgsl — b transposed into scratch, so that NT of many rows runs as NN on adapters that compute on a CPU.
//
// Formula   t[s,k,j] = b[s,j,k]
// Shapes    b [n, k] with row stride b_col and b_k = 1, t [k, n] contiguous rows of t_k elements;
//           n, k, b_col, t_k and all strides and offsets divisible by 4
// Bindings  group(0)  0 params uniform · 1 b read · 2 t read_write
// Dispatch  batch · ceil(n / (4 · LANES)) · ceil(k / CHUNK) workgroups, folded into x and y
// Numerics  exact
// Source    read by rows in the product itself, b costs twice as much as this copy: 64 rows of a power-of-two stride share few cache sets
const LANES: u32 = 8u;
const CHUNK: u32 = 64u;
alias Element = vec4f;

struct Params {
  n: u32, k: u32, batch: u32, batch_inner: u32,
  b_col: u32, t_k: u32, offset_b: u32, offset_t: u32,
  outer_b: u32, inner_b: u32, outer_t: u32, inner_t: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b: array<Element>;
@group(0) @binding(2) var<storage, read_write> t: array<Element>;

// Column i of four rows: the host replaces this function for elements that are packed in words.
fn column(i: u32, r0: Element, r1: Element, r2: Element, r3: Element) -> Element {
  return Element(r0[i], r1[i], r2[i], r3[i]);
}

@compute @workgroup_size(LANES)
fn matmul_transpose(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let blocks = (params.n + 4u * LANES - 1u) / (4u * LANES);
  let chunks = (params.k + CHUNK - 1u) / CHUNK;
  let tile = group.x + group.y * groups.x;
  let batch = tile / (blocks * chunks);
  // A lane takes four rows of b, so that four vectors transpose in registers.
  let row = 4u * (tile % blocks * LANES + lane);
  if (batch >= params.batch || row >= params.n) {
    return;
  }
  let k0 = tile / blocks % chunks * CHUNK;
  let outer = batch / params.batch_inner;
  let inner = batch % params.batch_inner;
  let at_b = (params.offset_b + outer * params.outer_b + inner * params.inner_b + row * params.b_col) / 4u;
  let at_t = (params.offset_t + outer * params.outer_t + inner * params.inner_t + row) / 4u;
  let b_col = params.b_col / 4u;
  let t_k = params.t_k / 4u;
  let end = min(k0 + CHUNK, params.k);
  for (var k = k0; k < end; k += 4u) {
    #for i in 0..4
    let r${i} = b[at_b + ${i}u * b_col + k / 4u];
    #end
    #for i in 0..4
    t[at_t + (k + ${i}u) * t_k] = column(${i}u, r0, r1, r2, r3);
    #end
  }
}
