// embedding.wgsl — rows of a table gathered by token id.
//
// Formula   out[t, c] = table[ids[t], c]; 0 where ids[t] >= vocab, and status = max(status, 1 + that t)
// Shapes    ids [rows] u32 (i32 bits are fine: a negative id is >= vocab); table [vocab, cols] ElementTable, out [rows, cols] Element
// Bindings  group(0)  0 params uniform · 1 ids read · 2 table read · 3 out read_write · 4 status read_write
// Dispatch  (ceil(cols / 16), y, z) with y · z >= ceil(rows / 4); workgroup 16 × 4: lanes along x copy columns
// Numerics  exact: 16-bit floats are numbers of f32 too; status is an integer maximum, so it does not depend on the order of lanes
// Source    gather; the gradient without float atomics is in embedding-links.wgsl and embedding-backward.wgsl

// vec4<f32> where the row length is a multiple of 4; `cols` counts Elements.
alias Element = f32;
alias ElementTable = f32;

struct Params { rows: u32, cols: u32, vocab: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<ElementTable>;
@group(0) @binding(3) var<storage, read_write> out: array<Element>;
@group(0) @binding(4) var<storage, read_write> status: atomic<u32>;

// Elements as f32: the host replaces this function for a table that is packed in words.
fn read_table(i: u32) -> Element {
  return Element(table[i]);
}

@compute @workgroup_size(16, 4)
fn embedding_forward(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) lane: vec3u,
) {
  let row = (workgroup.y + workgroup.z * grid.y) * 4u + lane.y;
  let col = workgroup.x * 16u + lane.x;
  // No barrier follows: lanes past the end may leave.
  if (row >= params.rows || col >= params.cols) { return; }
  let id = ids[row];
  if (id >= params.vocab) {
    out[row * params.cols + col] = Element();
    if (col == 0u) { atomicMax(&status, row + 1u); }
    return;
  }
  out[row * params.cols + col] = read_table(id * params.cols + col);
}
