// softmax.wgsl — softmax, its logarithm and log-sum-exp over rows, forward and backward.
//
// Formula   t = max_c x;  l = Σ_c exp(x - t);  softmax y = exp(x - t) / l;  IS_LOG y = x - t - log l;  log_sum_exp = t + log l
//           softmax dx = y · (dy - Σ_c dy·y);  IS_LOG dx = dy - exp(y) · Σ_c dy;  log_sum_exp dx = dlse · exp(x - t) / l
// Shapes    x: view [rows, cols] with a row stride (contiguous in the backward of softmax, where x is the forward's y);
//           dy, out: [rows, cols]; dlse, lse: [rows]. Params count Elements (WIDTH numbers)
// Bindings  group(0)  0 params uniform · 1 x read · 2 dy read (log_sum_exp_backward: dlse) ·
//           3 out read_write (log_sum_exp: lse); forward: any readable buffer stands in for 2
// Dispatch  softmax, softmax_backward, log_sum_exp, log_sum_exp_backward: LANES rows a workgroup; `*_workgroup`: one row; folded
// Numerics  t and l in one reading of the row, one exp an element; exp's argument is never positive; x finite: mask with -1e30
// Source    Milakov & Gimelshein 2018, arXiv:1805.02867, §3 (online normalizer)

// Numbers an Element holds. Cols, stride or offset not divisible by 4: Element = f32, WIDTH = 1, total and highest = itself.
const WIDTH: u32 = 4u;
alias Element = vec4f;
const LANES: u32 = 8u;
const WORKGROUP_SIZE: u32 = 256u;
// Elements in a chain of additions.
const BLOCK: u32 = 64u;
const IS_LOG: bool = false;
// Below every input: masks are -1e30.
const LOWEST: f32 = -3.0e38;

struct Params {
  rows: u32,
  cols: u32,
  x_offset: u32,
  x_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read> dy: array<Element>;
@group(0) @binding(2) var<storage, read> dlse: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<Element>;
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;

var<workgroup> partial: array<vec2f, WORKGROUP_SIZE>;

fn total(v: Element) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

fn highest(v: Element) -> f32 {
  return max(max(v.x, v.y), max(v.z, v.w));
}

fn store(at: u32, value: Element) {
  out[at] = value;
}

// (t, l) over every `step`-th Element of a row from `first` on. Each component keeps its own maximum and sum: of the two
// exponentials of an update one is always exp(0), so that only the other is computed. Sums run in blocks, which are then
// summed, since one long chain of f32 additions would lose digits.
fn stats_of(x_row: u32, first: u32, step: u32) -> vec2f {
  var tops = Element(LOWEST);
  var sums = Element(0);
  for (var from_col = first; from_col < params.cols; from_col += BLOCK * step) {
    let to_col = min(from_col + BLOCK * step, params.cols);
    var block_tops = Element(LOWEST);
    var block_sums = Element(0);
    for (var c = from_col; c < to_col; c += step) {
      let v = x[x_row + c];
      let e = exp(-abs(v - block_tops));
      block_sums = select(block_sums + e, block_sums * e + 1.0, v > block_tops);
      block_tops = max(block_tops, v);
    }
    let higher = max(tops, block_tops);
    sums = sums * exp(tops - higher) + block_sums * exp(block_tops - higher);
    tops = higher;
  }
  let top = highest(tops);
  return vec2f(top, total(sums * exp(tops - top)));
}

fn merge(a: vec2f, b: vec2f) -> vec2f {
  let top = max(a.x, b.x);
  return vec2f(top, a.y * exp(a.x - top) + b.y * exp(b.x - top));
}

fn forward_of(v: Element, stats: vec2f) -> Element {
  if (IS_LOG) {
    return v - stats.x - log(stats.y);
  }
  return exp(v - stats.x) * (1.0 / stats.y);
}

// What an element adds to the sum that its row's gradient needs.
fn backward_term(y: Element, d: Element) -> Element {
  if (IS_LOG) {
    return d;
  }
  return d * y;
}

fn backward_of(y: Element, d: Element, sum: f32) -> Element {
  if (IS_LOG) {
    return d - exp(y) * sum;
  }
  return y * (d - sum);
}

@compute @workgroup_size(LANES)
fn softmax(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.x + group.y * groups.x) * LANES + lane;
  if (row >= params.rows) {
    return;
  }
  let x_row = params.x_offset + row * params.x_stride;
  let stats = stats_of(x_row, 0u, 1u);
  for (var c = 0u; c < params.cols; c++) {
    store(row * params.cols + c, forward_of(x[x_row + c], stats));
  }
}

@compute @workgroup_size(LANES)
fn softmax_backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.x + group.y * groups.x) * LANES + lane;
  if (row >= params.rows) {
    return;
  }
  let start = row * params.cols;
  var sums = Element(0);
  for (var c = 0u; c < params.cols; c++) {
    sums += backward_term(x[start + c], dy[start + c]);
  }
  let sum = total(sums);
  for (var c = 0u; c < params.cols; c++) {
    store(start + c, backward_of(x[start + c], dy[start + c], sum));
  }
}

@compute @workgroup_size(LANES)
fn log_sum_exp(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.x + group.y * groups.x) * LANES + lane;
  if (row >= params.rows) {
    return;
  }
  let stats = stats_of(params.x_offset + row * params.x_stride, 0u, 1u);
  lse[row] = stats.x + log(stats.y);
}

@compute @workgroup_size(LANES)
fn log_sum_exp_backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.x + group.y * groups.x) * LANES + lane;
  if (row >= params.rows) {
    return;
  }
  let x_row = params.x_offset + row * params.x_stride;
  let stats = stats_of(x_row, 0u, 1u);
  let factor = dlse[row] / stats.y;
  for (var c = 0u; c < params.cols; c++) {
    store(row * params.cols + c, exp(x[x_row + c] - stats.x) * factor);
  }
}

// Merges (t, l) over the lanes of a workgroup in a fixed tree; every lane gets the result.
fn merge_lanes(stats: vec2f, lane: u32) -> vec2f {
  partial[lane] = stats;
  workgroupBarrier();
  for (var half = WORKGROUP_SIZE / 2u; half > 0u; half >>= 1u) {
    if (lane < half) {
      partial[lane] = merge(partial[lane], partial[lane + half]);
    }
    workgroupBarrier();
  }
  return partial[0];
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn softmax_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.x + group.y * groups.x;
  // Uniform, here and below: the row is the workgroup's, so all lanes leave together and none misses a barrier.
  if (row >= params.rows) {
    return;
  }
  let x_row = params.x_offset + row * params.x_stride;
  let stats = merge_lanes(stats_of(x_row, lane, WORKGROUP_SIZE), lane);
  for (var c = lane; c < params.cols; c += WORKGROUP_SIZE) {
    store(row * params.cols + c, forward_of(x[x_row + c], stats));
  }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn softmax_backward_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.x + group.y * groups.x;
  if (row >= params.rows) {
    return;
  }
  let start = row * params.cols;
  var sums = Element(0);
  for (var c = lane; c < params.cols; c += WORKGROUP_SIZE) {
    sums += backward_term(x[start + c], dy[start + c]);
  }
  partial[lane].x = total(sums);
  workgroupBarrier();
  for (var half = WORKGROUP_SIZE / 2u; half > 0u; half >>= 1u) {
    if (lane < half) {
      partial[lane].x += partial[lane + half].x;
    }
    workgroupBarrier();
  }
  let sum = partial[0].x;
  for (var c = lane; c < params.cols; c += WORKGROUP_SIZE) {
    store(start + c, backward_of(x[start + c], dy[start + c], sum));
  }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn log_sum_exp_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.x + group.y * groups.x;
  if (row >= params.rows) {
    return;
  }
  let x_row = params.x_offset + row * params.x_stride;
  let stats = merge_lanes(stats_of(x_row, lane, WORKGROUP_SIZE), lane);
  if (lane == 0u) {
    lse[row] = stats.x + log(stats.y);
  }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn log_sum_exp_backward_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.x + group.y * groups.x;
  if (row >= params.rows) {
    return;
  }
  let x_row = params.x_offset + row * params.x_stride;
  let stats = merge_lanes(stats_of(x_row, lane, WORKGROUP_SIZE), lane);
  let factor = dlse[row] / stats.y;
  for (var c = lane; c < params.cols; c += WORKGROUP_SIZE) {
    store(row * params.cols + c, exp(x[x_row + c] - stats.x) * factor);
  }
}
