// embedding-backward.wgsl — gradient of an embedding table, deterministic without float atomics.
//
// Formula   dtable[v, c] (+)= Σ_{t : ids[t] = v} dout[t, c], summed over ascending t
// Shapes    ids [T] u32; links [2, T] u32 of embedding-links.wgsl; dout [T, cols], dtable [vocab, cols] Element
// Bindings  group(0)  0 params uniform · 1 ids read · 2 links read · 3 dout read · 4 dtable read_write
// Dispatch  embedding_backward: (ceil(cols / 16), y, z), y · z >= ceil(T / 4); embedding_zero: y · z >= ceil(vocab / 4); workgroup 16 × 4
// Numerics  f32 sums in ascending order of t; accumulate != 0 adds to dtable, else rows of absent ids need embedding_zero first
// Source    the first occurrence of an id leads: one lane per leader and Element walks the list, so no two lanes write one place

// vec4<f32> where the row length is a multiple of 4; `cols` counts Elements.
alias Element = f32;

struct Params { tokens: u32, cols: u32, vocab: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> links: array<u32>;
@group(0) @binding(3) var<storage, read> dout: array<Element>;
@group(0) @binding(4) var<storage, read_write> dtable: array<Element>;

@compute @workgroup_size(16, 4)
fn embedding_zero(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) lane: vec3u,
) {
  let row = (workgroup.y + workgroup.z * grid.y) * 4u + lane.y;
  let col = workgroup.x * 16u + lane.x;
  // No barrier follows: lanes past the end may leave.
  if (row >= params.vocab || col >= params.cols) { return; }
  dtable[row * params.cols + col] = Element();
}

@compute @workgroup_size(16, 4)
fn embedding_backward(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) lane: vec3u,
) {
  let tokens = params.tokens;
  let leader = (workgroup.y + workgroup.z * grid.y) * 4u + lane.y;
  let col = workgroup.x * 16u + lane.x;
  // No barrier follows: lanes without a list may leave.
  if (leader >= tokens || col >= params.cols) { return; }
  if (links[tokens + leader] == 0u) { return; }
  let id = ids[leader];
  // An id outside the table read zeros in the forward pass: it has no gradient.
  if (id >= params.vocab) { return; }
  var sum = Element();
  // Lists ascend strictly, so the walk ends whatever the links hold past the end.
  for (var t = leader; t < tokens; t = links[t]) {
    sum += dout[t * params.cols + col];
  }
  let at = id * params.cols + col;
  if (params.accumulate != 0u) { sum += dtable[at]; }
  dtable[at] = sum;
}
