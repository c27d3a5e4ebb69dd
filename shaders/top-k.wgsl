// top-k.wgsl — the k largest elements of each row, in descending order.
//
// Formula   values[r,j], indices[r,j]: the j-th element of row r ordered by (value descending, column ascending)
// Shapes    x: view [rows, cols] with a row stride; values: [rows, k] f32; indices: [rows, k] u32; k ≤ cols. cols, x_offset and
//           x_stride count Elements (WIDTH numbers)
// Bindings  group(0)  0 params uniform · 1 x read · 2 values read_write · 3 indices read_write
// Dispatch  top_k: k ≤ CAPACITY, LANES rows a workgroup; top_k_workgroup: any k, one row a workgroup; folded over x and y
// Numerics  comparisons only: exact, the lower column first among equals, in any order of lanes; -3e38 < x, without NaN
// Source    Knuth, TAOCP 3, §5.2.3: top_k keeps a heap of k in each lane; top_k_workgroup holds a tournament, where a lane plays for
//           its columns, and only the winner looks for its next best

// Numbers an Element holds. Cols, stride or offset not divisible by 4: Element = f32, WIDTH = 1, and highest and component
// return their first argument.
const WIDTH: u32 = 4u;
alias Element = vec4f;
const LANES: u32 = 8u;
const WORKGROUP_SIZE: u32 = 256u;
const CAPACITY: u32 = 64u;
const LOWEST: f32 = -3.0e38;
const NO_COLUMN: u32 = 0xffffffffu;

struct Params {
  rows: u32,
  cols: u32,
  x_offset: u32,
  x_stride: u32,
  k: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> indices: array<u32>;

struct Candidate {
  value: f32,
  col: u32,
}

var<workgroup> partial: array<Candidate, WORKGROUP_SIZE>;

fn highest(v: Element) -> f32 {
  return max(max(v.x, v.y), max(v.z, v.w));
}

fn component(v: Element, i: u32) -> f32 {
  return v[i];
}

fn precedes(a: Candidate, b: Candidate) -> bool {
  return a.value > b.value || (a.value == b.value && a.col < b.col);
}

// Puts `item` into a heap, whose root, the last in order, is free: moves up children that come after it.
fn sift(heap: ptr<function, array<Candidate, CAPACITY>>, size: u32, item: Candidate) {
  var at = 0u;
  var child = 1u;
  while (child < size) {
    if (child + 1u < size && precedes((*heap)[child], (*heap)[child + 1u])) {
      child++;
    }
    let moved = (*heap)[child];
    if (!precedes(item, moved)) {
      break;
    }
    (*heap)[at] = moved;
    at = child;
    child = 2u * at + 1u;
  }
  (*heap)[at] = item;
}

@compute @workgroup_size(LANES)
fn top_k(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.x + group.y * groups.x) * LANES + lane;
  if (row >= params.rows) {
    return;
  }
  let x_row = params.x_offset + row * params.x_stride;
  let k = min(params.k, CAPACITY);
  var heap: array<Candidate, CAPACITY>;
  for (var j = 0u; j < k; j++) {
    heap[j] = Candidate(LOWEST, NO_COLUMN);
  }
  // Columns come in ascending order: an element equal to the heap's last comes after it, and stays out.
  var bar = LOWEST;
  for (var c = 0u; c < params.cols; c++) {
    let v = x[x_row + c];
    if (highest(v) > bar) {
      for (var i = 0u; i < WIDTH; i++) {
        let value = component(v, i);
        if (value > bar) {
          sift(&heap, k, Candidate(value, c * WIDTH + i));
          bar = heap[0].value;
        }
      }
    }
  }
  for (var left = k; left > 0u; left--) {
    let last = heap[0];
    values[row * params.k + left - 1u] = last.value;
    indices[row * params.k + left - 1u] = last.col;
    sift(&heap, left - 1u, heap[left - 1u]);
  }
}

// The best of a lane's columns that comes after `taken`.
fn next_best(x_row: u32, lane: u32, taken: Candidate) -> Candidate {
  var best = Candidate(LOWEST, NO_COLUMN);
  for (var c = lane; c < params.cols; c += WORKGROUP_SIZE) {
    let v = x[x_row + c];
    if (highest(v) > best.value) {
      for (var i = 0u; i < WIDTH; i++) {
        let candidate = Candidate(component(v, i), c * WIDTH + i);
        if (precedes(candidate, best) && precedes(taken, candidate)) {
          best = candidate;
        }
      }
    }
  }
  return best;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn top_k_workgroup(
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
  var own = Candidate(-LOWEST, 0u);
  var is_due = true;
  for (var j = 0u; j < params.k; j++) {
    if (is_due) {
      own = next_best(x_row, lane, own);
    }
    partial[lane] = own;
    workgroupBarrier();
    for (var half = WORKGROUP_SIZE / 2u; half > 0u; half >>= 1u) {
      if (lane < half && precedes(partial[lane + half], partial[lane])) {
        partial[lane] = partial[lane + half];
      }
      workgroupBarrier();
    }
    let winner = partial[0];
    // The next round overwrites the winner: all must have read it.
    workgroupBarrier();
    is_due = own.col == winner.col && own.col != NO_COLUMN;
    if (is_due) {
      values[row * params.k + j] = winner.value;
      indices[row * params.k + j] = winner.col;
    }
  }
}
