// arg-max.wgsl — where the largest element of each row is.
//
// Formula   y[r] = min { c : x[r,c] = max_i x[r,i] }
// Shapes    x: view [rows, cols] with a row stride; y: [rows] u32. Params count Elements (WIDTH numbers)
// Bindings  group(0)  0 params uniform · 1 x read · 2 y read_write
// Dispatch  arg_max: LANES rows a workgroup; arg_max_workgroup: one row a workgroup; folded over x and y
// Numerics  comparisons only: exact, and the first of equal elements wins in any order of lanes; x without NaN
// Source    none

// Numbers an Element holds; Columns is as wide. Cols, stride or offset not divisible by 4: f32, u32, 1, and `best_of` makes
// its candidate of the two arguments as they are.
const WIDTH: u32 = 4u;
alias Element = vec4f;
alias Columns = vec4u;
const LANES: u32 = 8u;
const WORKGROUP_SIZE: u32 = 256u;

struct Params {
  rows: u32,
  cols: u32,
  x_offset: u32,
  x_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

struct Candidate {
  value: f32,
  col: u32,
}

var<workgroup> partial: array<Candidate, WORKGROUP_SIZE>;

fn better(a: Candidate, b: Candidate) -> Candidate {
  if (b.value > a.value || (b.value == a.value && b.col < a.col)) {
    return b;
  }
  return a;
}

// `at` counts Elements, a candidate's column numbers.
fn best_of(values: Element, at: Columns) -> Candidate {
  let cols = at * 4u + vec4u(0u, 1u, 2u, 3u);
  let front = better(Candidate(values.x, cols.x), Candidate(values.y, cols.y));
  let back = better(Candidate(values.z, cols.z), Candidate(values.w, cols.w));
  return better(front, back);
}

// Best of every `step`-th Element from `first` on; `first` is inside the row.
fn scan(x_row: u32, first: u32, step: u32) -> Candidate {
  var values = x[x_row + first];
  var at = Columns(first);
  for (var c = first + step; c < params.cols; c += step) {
    let v = x[x_row + c];
    let is_higher = v > values;
    values = select(values, v, is_higher);
    at = select(at, Columns(c), is_higher);
  }
  return best_of(values, at);
}

@compute @workgroup_size(LANES)
fn arg_max(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.x + group.y * groups.x) * LANES + lane;
  if (row >= params.rows) {
    return;
  }
  y[row] = scan(params.x_offset + row * params.x_stride, 0u, 1u).col;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn arg_max_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.x + group.y * groups.x;
  // Uniform: the row is the workgroup's, so all lanes leave together and none misses a barrier.
  if (row >= params.rows) {
    return;
  }
  // Lanes beyond the row repeat its last Element, which changes nothing.
  partial[lane] = scan(params.x_offset + row * params.x_stride, min(lane, params.cols - 1u), WORKGROUP_SIZE);
  workgroupBarrier();
  for (var half = WORKGROUP_SIZE / 2u; half > 0u; half >>= 1u) {
    if (lane < half) {
      partial[lane] = better(partial[lane], partial[lane + half]);
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    y[row] = partial[0].col;
  }
}
