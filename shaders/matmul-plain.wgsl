// matmul-plain.wgsl — matrix product, one output an invocation: any shape, stride and mode; what the others are checked against.
//
// Formula   c[s,i,j] = Σ_k a[s,i,k] · b[s,k,j], s a batch index
// Shapes    a [m, k], b [k, n], c [m, n], each with its own strides, so that a transposed operand is a matter of strides (NN, NT, TN);
//           batch index s = outer · batch_inner + inner with a stride for each of the two; stride 0 repeats an operand
// Bindings  group(0)  0 params uniform · 1 a read · 2 b read · 3 c read_write · 4… operands of a fused `store`
// Dispatch  ceil(batch · m · n / 64) workgroups, folded into x and y
// Numerics  f32, k ascending: one rounding a product and a sum
// Source    the definition
const WORKGROUP_SIZE: u32 = 64u;
alias ElementA = f32;
alias ElementB = f32;
alias ElementC = f32;

#include matmul-params

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<ElementA>;
@group(0) @binding(2) var<storage, read> b: array<ElementB>;
@group(0) @binding(3) var<storage, read_write> c: array<ElementC>;

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

@compute @workgroup_size(WORKGROUP_SIZE)
fn matmul_plain(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let at = (group.x + group.y * groups.x) * WORKGROUP_SIZE + lane;
  let col = at % params.n;
  let row = at / params.n % params.m;
  let batch = at / params.n / params.m;
  if (batch >= params.batch) {
    return;
  }
  let outer = batch / params.batch_inner;
  let inner = batch % params.batch_inner;
  let at_a = params.offset_a + outer * params.outer_a + inner * params.inner_a + row * params.a_row;
  let at_b = params.offset_b + outer * params.outer_b + inner * params.inner_b + col * params.b_col;
  base_c = params.offset_c + outer * params.outer_c + inner * params.inner_c;
  var sum = 0.0;
  for (var k = 0u; k < params.k; k++) {
    sum += read_a(at_a + k * params.a_k) * read_b(at_b + k * params.b_k);
  }
  store(batch, row, col, sum);
}
