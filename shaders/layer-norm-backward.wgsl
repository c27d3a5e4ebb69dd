// layer-norm-backward.wgsl — gradient of layer normalization with respect to its rows.
//
// Formula   u = (s - m) · r;  g = dy · (weight + weight_offset)
//           dx = r · (g - mean_c g - u · mean_c (g · u)) [+ dsum]
// Shapes    s: view of [rows, cols] (row start: s_start), what the forward normalized (its sum, or its x);
//           dy, dsum, dx: [rows, cols]; weight: [cols]; stats: [rows, 2] = (m, r). Params count Elements (WIDTH numbers)
// Bindings  group(0)  0 params uniform · 1 dy read · 2 s read · 3 weight read · 4 stats read · 5 dsum read · 6 dx read_write;
//           without dsum any readable buffer stands in for it
// Dispatch  layer_norm_backward: LANES rows a workgroup; layer_norm_backward_workgroup: one row a workgroup; folded over x and y
// Numerics  sums run over one row in f32, by component, then in a fixed tree
// Source    Ba, Kiros & Hinton 2016, arXiv:1607.06450, differentiated; dsum is what the residual stream brings back.
//           Weight and bias gradients: norm-weight-gradient.wgsl

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
@group(0) @binding(4) var<storage, read> stats: array<vec2f>;
@group(0) @binding(5) var<storage, read> dsum: array<Element>;
@group(0) @binding(6) var<storage, read_write> dx: array<Element>;

var<workgroup> partial: array<vec2f, WORKGROUP_SIZE>;

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
fn layer_norm_backward(
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
  let mean = stats[row].x;
  let rstd = stats[row].y;
  var g_sums = Element(0);
  var gu_sums = Element(0);
  for (var c = 0u; c < cols; c++) {
    let g = dy[dx_row + c] * (weight[c] + params.weight_offset);
    g_sums += g;
    gu_sums += g * ((s[s_row + c] - mean) * rstd);
  }
  let count = f32(cols * WIDTH);
  let g_mean = total(g_sums) / count;
  let gu_mean = total(gu_sums) / count;
  for (var c = 0u; c < cols; c++) {
    let g = dy[dx_row + c] * (weight[c] + params.weight_offset);
    let u = (s[s_row + c] - mean) * rstd;
    store(dx_row + c, rstd * (g - g_mean - u * gu_mean));
  }
}

// Sum over the lanes of a workgroup in a fixed tree; every lane gets it.
fn reduce(value: vec2f, lane: u32) -> vec2f {
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
fn layer_norm_backward_workgroup(
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
  let mean = stats[row].x;
  let rstd = stats[row].y;
  var g_sums = Element(0);
  var gu_sums = Element(0);
  for (var c = lane; c < cols; c += WORKGROUP_SIZE) {
    let g = dy[dx_row + c] * (weight[c] + params.weight_offset);
    g_sums += g;
    gu_sums += g * ((s[s_row + c] - mean) * rstd);
  }
  let means = reduce(vec2f(total(g_sums), total(gu_sums)), lane) / f32(cols * WIDTH);
  for (var c = lane; c < cols; c += WORKGROUP_SIZE) {
    let g = dy[dx_row + c] * (weight[c] + params.weight_offset);
    let u = (s[s_row + c] - mean) * rstd;
    store(dx_row + c, rstd * (g - means.x - u * means.y));
  }
}
