// rms-norm.wgsl — root-mean-square normalization of rows, after adding a residual where there is one.
//
// Formula   s = x [+ residual];  r = 1 / sqrt(mean_c s² + eps);  y = s · r · (weight + weight_offset)
// Shapes    x: view of [rows, cols] (row start: x_start); residual, sum, y: [rows, cols]; weight: [cols]; rstd: [rows] = r.
//           Sizes, strides and offsets in Params count Elements (WIDTH numbers)
// Bindings  group(0)  0 params uniform · 1 x read · 2 residual read · 3 weight read · 4 y read_write · 5 sum read_write ·
//           6 rstd read_write; without residual any readable buffer stands in for it, and any small one for sum
// Dispatch  rms_norm: LANES rows a workgroup; rms_norm_workgroup: one row a workgroup; folded over x and y
// Numerics  squares are summed in f32, by component, then in a fixed tree; |s| must stay below 1e17
// Source    Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4; weight_offset = 1 is Gemma's (1 + weight)

// Numbers an Element holds. Cols, strides or offsets not divisible by 4: Element = f32, WIDTH = 1, total = itself.
const WIDTH: u32 = 4u;
alias Element = vec4f;
const LANES: u32 = 8u;
const WORKGROUP_SIZE: u32 = 256u;
const WITH_RESIDUAL: bool = false;

struct Params {
  rows: u32,
  cols: u32,
  x_offset: u32,
  x_stride: u32,
  x_group: u32,
  eps: f32,
  weight_offset: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read> residual: array<Element>;
@group(0) @binding(3) var<storage, read> weight: array<Element>;
@group(0) @binding(4) var<storage, read_write> y: array<Element>;
@group(0) @binding(5) var<storage, read_write> sum: array<Element>;
@group(0) @binding(6) var<storage, read_write> rstd: array<f32>;

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

fn total(v: Element) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

// Groups of x_group rows lie x_stride apart; in a group, rows follow each other (the heads of a token, for instance).
fn x_start(row: u32) -> u32 {
  return params.x_offset + (row / params.x_group) * params.x_stride + (row % params.x_group) * params.cols;
}

// First reading of an element: adds the residual, and keeps the sum for the rest of the kernel and for the caller.
fn first(x_at: u32, at: u32) -> Element {
  if (WITH_RESIDUAL) {
    let s = x[x_at] + residual[at];
    sum[at] = s;
    return s;
  }
  return x[x_at];
}

// Second reading of an element by the lane that read it first.
fn again(x_at: u32, at: u32) -> Element {
  if (WITH_RESIDUAL) {
    return sum[at];
  }
  return x[x_at];
}

fn store(at: u32, value: Element) {
  y[at] = value;
}

@compute @workgroup_size(LANES)
fn rms_norm(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.x + group.y * groups.x) * LANES + lane;
  if (row >= params.rows) {
    return;
  }
  let cols = params.cols;
  let x_row = x_start(row);
  let y_row = row * cols;
  var squares = Element(0);
  for (var c = 0u; c < cols; c++) {
    let s = first(x_row + c, y_row + c);
    squares += s * s;
  }
  let r = inverseSqrt(total(squares) / f32(cols * WIDTH) + params.eps);
  rstd[row] = r;
  for (var c = 0u; c < cols; c++) {
    store(y_row + c, again(x_row + c, y_row + c) * r * (weight[c] + params.weight_offset));
  }
}

// Sum over the lanes of a workgroup in a fixed tree; every lane gets it.
fn reduce(value: f32, lane: u32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  for (var half = WORKGROUP_SIZE / 2u; half > 0u; half >>= 1u) {
    if (lane < half) {
      partial[lane] += partial[lane + half];
    }
    workgroupBarrier();
  }
  return partial[0];
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn rms_norm_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.x + group.y * groups.x;
  // Uniform: the row is the workgroup's, so all lanes leave together and none misses a barrier.
  if (row >= params.rows) {
    return;
  }
  let cols = params.cols;
  let x_row = x_start(row);
  let y_row = row * cols;
  var squares = Element(0);
  for (var c = lane; c < cols; c += WORKGROUP_SIZE) {
    let s = first(x_row + c, y_row + c);
    squares += s * s;
  }
  let r = inverseSqrt(reduce(total(squares), lane) / f32(cols * WIDTH) + params.eps);
  if (lane == 0u) {
    rstd[row] = r;
  }
  for (var c = lane; c < cols; c += WORKGROUP_SIZE) {
    store(y_row + c, again(x_row + c, y_row + c) * r * (weight[c] + params.weight_offset));
  }
}
