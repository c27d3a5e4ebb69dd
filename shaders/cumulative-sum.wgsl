// cumulative-sum.wgsl — running sums along rows, from the front or (the gradient) from the back.
//
// Formula   y[r,c] = Σ_{i ≤ c} x[r,i];  REVERSED (also the gradient: x = dy, y = dx): y[r,c] = Σ_{i ≥ c} x[r,i]
// Shapes    x: view [rows, cols] with a row stride; y: [rows, cols]. Params count Elements (WIDTH numbers)
// Bindings  group(0)  0 params uniform · 1 x read · 2 y read_write
// Dispatch  cumulative_sum: LANES rows a workgroup; cumulative_sum_workgroup: one row a workgroup; folded over x and y
// Numerics  f32 in a fixed order, in two levels (blocks of BLOCK Elements, or of a workgroup): no chain of additions is long
// Source    Hillis & Steele 1986, CACM 29(12), doi:10.1145/7902.7903 (the scan of a workgroup)

// Numbers an Element holds. Cols, stride or offset not divisible by 4: Element = f32, WIDTH = 1, and prefix, flipped and
// last return their argument.
const WIDTH: u32 = 4u;
alias Element = vec4f;
const LANES: u32 = 8u;
const WORKGROUP_SIZE: u32 = 256u;
const BLOCK: u32 = 64u;
const REVERSED: bool = false;

struct Params {
  rows: u32,
  cols: u32,
  x_offset: u32,
  x_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;

var<workgroup> scan: array<f32, WORKGROUP_SIZE>;

fn prefix(v: Element) -> Element {
  let pairs = v + vec4f(0.0, v.x, 0.0, v.z);
  return pairs + vec4f(0.0, 0.0, pairs.y, pairs.y);
}

fn flipped(v: Element) -> Element {
  return v.wzyx;
}

fn last(v: Element) -> f32 {
  return v.w;
}

// The c-th Element of a row in the direction of the sum, with running sums inside it.
fn load(x_row: u32, c: u32) -> Element {
  if (REVERSED) {
    return prefix(flipped(x[x_row + params.cols - 1u - c]));
  }
  return prefix(x[x_row + c]);
}

fn store(at: u32, value: Element) {
  y[at] = value;
}

fn store_in_direction(y_row: u32, c: u32, value: Element) {
  if (REVERSED) {
    store(y_row + params.cols - 1u - c, flipped(value));
  } else {
    store(y_row + c, value);
  }
}

@compute @workgroup_size(LANES)
fn cumulative_sum(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.x + group.y * groups.x) * LANES + lane;
  if (row >= params.rows) {
    return;
  }
  let x_row = params.x_offset + row * params.x_stride;
  let y_row = row * params.cols;
  var before = 0.0;
  for (var from_col = 0u; from_col < params.cols; from_col += BLOCK) {
    let to_col = min(from_col + BLOCK, params.cols);
    var in_block = 0.0;
    for (var c = from_col; c < to_col; c++) {
      let running = in_block + load(x_row, c);
      store_in_direction(y_row, c, before + running);
      in_block = last(running);
    }
    before += in_block;
  }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn cumulative_sum_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.x + group.y * groups.x;
  // Uniform: the row is the workgroup's, so all lanes leave together and none misses a barrier.
  if (row >= params.rows) {
    return;
  }
  let x_row = params.x_offset + row * params.x_stride;
  let y_row = row * params.cols;
  var before = 0.0;
  for (var from_col = 0u; from_col < params.cols; from_col += WORKGROUP_SIZE) {
    let c = from_col + lane;
    var running = Element(0);
    if (c < params.cols) {
      running = load(x_row, c);
    }
    let own = last(running);
    scan[lane] = own;
    workgroupBarrier();
    for (var reach = 1u; reach < WORKGROUP_SIZE; reach <<= 1u) {
      var added = 0.0;
      if (lane >= reach) {
        added = scan[lane - reach];
      }
      // All have read what the next line overwrites.
      workgroupBarrier();
      scan[lane] += added;
      workgroupBarrier();
    }
    let all_before = select(0.0, scan[max(lane, 1u) - 1u], lane > 0u);
    if (c < params.cols) {
      store_in_direction(y_row, c, before + (all_before + running));
    }
    before += scan[WORKGROUP_SIZE - 1u];
    // The next round overwrites the scan: all must have read it.
    workgroupBarrier();
  }
}
