// rms-norm-backward.wgsl — gradient of root-mean-square normalization with respect to its rows.
//
// Formula   u = s · r;  g = dy · (weight + weight_offset);  dx = r · (g - u · mean_c (g · u)) [+ dsum]
// Shapes    s: view of [rows, cols] (row start: s_start), what the forward normalized (its sum, or its x);
//           dy, dsum, dx: [rows, cols]; weight: [cols]; rstd: [rows] = r. Params count Elements (WIDTH numbers)
// Bindings  group(0)  0 params uniform · 1 dy read · 2 s read · 3 weight read · 4 rstd read · 5 dsum read · 6 dx read_write;
//           without dsum any readable buffer stands in for it
// Dispatch  rms_norm_backward: LANES rows a workgroup; rms_norm_backward_workgroup: one row a workgroup; folded over x and y
// Numerics  sums run over one row in f32, by component, then in a fixed tree
// Source    Zhang & Sennrich 2019, arXiv:1910.07467, differentiated; dsum is what the residual stream brings back.
//           The weight gradient: norm-weight-gradient.wgsl

// Numbers an Element holds. Cols, strides or offsets not divisible by 4: Element = f32, WIDTH = 1, total = itself.
const WIDTH: u32 = 4u;
alias Element = vec4f;
const LANES: u32 = 8u;
const WORKGROUP_SIZE: u32 = 256u;
const WITH_DSUM: bool = false;

struct Params {
  rows: u32,
  cols: u32,
  s_offset: u32,
  s_stride: u32,
  s_group: u32,
  weight_offset: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<Element>;
@group(0) @binding(2) var<storage, read> s: array<Element>;
@group(0) @binding(3) var<storage, read> weight: array<Element>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read> dsum: array<Element>;
@group(0) @binding(6) var<storage, read_write> dx: array<Element>;

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

fn total(v: Element) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

// Groups of s_group rows lie s_stride apart; in a group, rows follow each other.
fn s_start(row: u32) -> u32 {
  return params.s_offset + (row / params.s_group) * params.s_stride + (row % params.s_group) * params.cols;
}

fn store(at: u32, value: Element) {
  if (WITH_DSUM) {
    dx[at] = value + dsum[at];
  } else {
    dx[at] = value;
  }
}

@compute @workgroup_size(LANES)
fn rms_norm_backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.x + group.y * groups.x) * LANES + lane;
  if (row >= params.rows) {
    return;
  }
  let cols = params.cols;
  let s_row = s_start(row);
  let dx_row = row * cols;
  let r = rstd[row];
  var gu_sums = Element(0);
  for (var c = 0u; c < cols; c++) {
    gu_sums += dy[dx_row + c] * (weight[c] + params.weight_offset) * (s[s_row + c] * r);
  }
  let gu_mean = total(gu_sums) / f32(cols * WIDTH);
  for (var c = 0u; c < cols; c++) {
    let g = dy[dx_row + c] * (weight[c] + params.weight_offset);
    store(dx_row + c, r * (g - s[s_row + c] * r * gu_mean));
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
fn rms_norm_backward_workgroup(
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
  let s_row = s_start(row);
  let dx_row = row * cols;
  let r = rstd[row];
  var gu_sums = Element(0);
  for (var c = lane; c < cols; c += WORKGROUP_SIZE) {
    gu_sums += dy[dx_row + c] * (weight[c] + params.weight_offset) * (s[s_row + c] * r);
  }
  let gu_mean = reduce(total(gu_sums), lane) / f32(cols * WIDTH);
  for (var c = lane; c < cols; c += WORKGROUP_SIZE) {
    let g = dy[dx_row + c] * (weight[c] + params.weight_offset);
    store(dx_row + c, r * (g - s[s_row + c] * r * gu_mean));
  }
}
