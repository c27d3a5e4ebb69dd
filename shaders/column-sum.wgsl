// column-sum.wgsl — sums the rows of a matrix, by blocks of rows.
//
// Formula   y[b,c] = Σ_{row in block b} x[row,c]
// Shapes    x: view [rows, cols] with a row stride; y: [blocks, cols]. Params count Elements (WIDTH numbers)
// Bindings  group(0)  0 params uniform · 1 x read · 2 y read_write
// Dispatch  column_sum: (ceil(cols / LANES), blocks, 1); column_sum_workgroup: (ceil(cols / 16), blocks, 1); blocks ≤ 65,535
// Numerics  f32, fixed order; the sum of a tall matrix takes two dispatches, blocks first, so that no chain of additions is long
// Source    none

// Numbers an Element holds. Cols, stride or offset not divisible by 4: Element = f32, WIDTH = 1.
const WIDTH: u32 = 4u;
alias Element = vec4f;
const LANES: u32 = 8u;
// The workgroup kernel: columns and row strands of a workgroup.
const STRIP: u32 = 16u;
const STRANDS: u32 = 16u;

struct Params {
  rows: u32,
  cols: u32,
  x_offset: u32,
  x_stride: u32,
  rows_per_block: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;

var<workgroup> partial: array<Element, STRIP * STRANDS>;

fn store(at: u32, value: Element) {
  y[at] = value;
}

@compute @workgroup_size(LANES)
fn column_sum(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = group.x * LANES + lane;
  if (c >= params.cols) {
    return;
  }
  let from_row = group.y * params.rows_per_block;
  let to_row = min(from_row + params.rows_per_block, params.rows);
  var sum = Element(0);
  for (var row = from_row; row < to_row; row++) {
    sum += x[params.x_offset + row * params.x_stride + c];
  }
  store(group.y * params.cols + c, sum);
}

@compute @workgroup_size(STRIP, STRANDS)
fn column_sum_workgroup(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let c = group.x * STRIP + lane.x;
  let from_row = group.y * params.rows_per_block;
  let to_row = min(from_row + params.rows_per_block, params.rows);
  var sum = Element(0);
  // Lanes beyond the last column take part in the barriers and load nothing.
  if (c < params.cols) {
    for (var row = from_row + lane.y; row < to_row; row += STRANDS) {
      sum += x[params.x_offset + row * params.x_stride + c];
    }
  }
  partial[lane.y * STRIP + lane.x] = sum;
  workgroupBarrier();
  for (var half = STRANDS / 2u; half > 0u; half >>= 1u) {
    if (lane.y < half) {
      partial[lane.y * STRIP + lane.x] += partial[(lane.y + half) * STRIP + lane.x];
    }
    workgroupBarrier();
  }
  if (lane.y == 0u && c < params.cols) {
    store(group.y * params.cols + c, partial[lane.x]);
  }
}
