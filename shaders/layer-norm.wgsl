// layer-norm.wgsl — layer normalization of rows, after adding a residual where there is one.
//
// Formula   s = x [+ residual];  m = mean_c s;  r = 1 / sqrt(mean_c (s - m)² + eps)
//           y = (s - m) · r · (weight + weight_offset) [+ bias]
// Shapes    x: view of [rows, cols] (row start: x_start); residual, sum, y: [rows, cols]; weight, bias: [cols];
//           stats: [rows, 2] = (m, r). Sizes, strides and offsets in Params count Elements (WIDTH numbers)
// Bindings  group(0)  0 params uniform · 1 x read · 2 residual read · 3 weight read · 4 bias read · 5 y read_write ·
//           6 sum read_write · 7 stats read_write; without residual or bias any readable buffer stands in for them,
//           and without residual any small one for sum
// Dispatch  layer_norm: LANES rows a workgroup; layer_norm_workgroup: one row a workgroup; folded over x and y
// Numerics  never E[s²] - m²: the lane kernel updates (m, Σ(s-m)²) element by element, the workgroup kernel takes two passes
// Source    Ba, Kiros & Hinton 2016, arXiv:1607.06450, eq. 4; Welford 1962, Technometrics 4(3) (the update of m and Σ(s-m)²)

// Numbers an Element holds. Cols, strides or offsets not divisible by 4: Element = f32, WIDTH = 1, total = itself.
const WIDTH: u32 = 4u;
alias Element = vec4f;
const LANES: u32 = 8u;
const WORKGROUP_SIZE: u32 = 256u;
const WITH_RESIDUAL: bool = false;
const WITH_BIAS: bool = false;

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
@group(0) @binding(4) var<storage, read> bias: array<Element>;
@group(0) @binding(5) var<storage, read_write> y: array<Element>;
@group(0) @binding(6) var<storage, read_write> sum: array<Element>;
@group(0) @binding(7) var<storage, read_write> stats: array<vec2f>;

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

// Later reading of an element by the lane that read it first.
fn again(x_at: u32, at: u32) -> Element {
  if (WITH_RESIDUAL) {
    return sum[at];
  }
  return x[x_at];
}

fn scaled(unit: Element, c: u32) -> Element {
  let v = unit * (weight[c] + params.weight_offset);
  if (WITH_BIAS) {
    return v + bias[c];
  }
  return v;
}

fn store(at: u32, value: Element) {
  y[at] = value;
}

@compute @workgroup_size(LANES)
fn layer_norm(
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
  // Each component runs its own mean: arithmetic is cheap here, a second reading of the row is not.
  var means = Element(0);
  var squares = Element(0);
  var count = 0.0;
  for (var c = 0u; c < cols; c++) {
    let s = first(x_row + c, y_row + c);
    count += 1.0;
    let delta = s - means;
    means += delta * (1.0 / count);
    squares += delta * (s - means);
  }
  let mean = total(means) / f32(WIDTH);
  let apart = means - mean;
  let variance = total(squares + count * apart * apart) / (count * f32(WIDTH));
  let rstd = inverseSqrt(variance + params.eps);
  stats[row] = vec2f(mean, rstd);
  for (var c = 0u; c < cols; c++) {
    store(y_row + c, scaled((again(x_row + c, y_row + c) - mean) * rstd, c));
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
  let sum_of_all = partial[0];
  // Nobody may overwrite partial[0] for the next sum before all have read this one.
  workgroupBarrier();
  return sum_of_all;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn layer_norm_workgroup(
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
  let count = f32(cols * WIDTH);
  var sums = Element(0);
  for (var c = lane; c < cols; c += WORKGROUP_SIZE) {
    sums += first(x_row + c, y_row + c);
  }
  let mean = reduce(total(sums), lane) / count;
  var squares = Element(0);
  for (var c = lane; c < cols; c += WORKGROUP_SIZE) {
    let apart = again(x_row + c, y_row + c) - mean;
    squares += apart * apart;
  }
  let rstd = inverseSqrt(reduce(total(squares), lane) / count + params.eps);
  if (lane == 0u) {
    stats[row] = vec2f(mean, rstd);
  }
  for (var c = lane; c < cols; c += WORKGROUP_SIZE) {
    store(y_row + c, scaled((again(x_row + c, y_row + c) - mean) * rstd, c));
  }
}
