// sgd.wgsl — stochastic gradient descent with momentum over flat arrays: every parameter of a model in one dispatch.
//
// Formula   g = multiplier · grad + group.weight_decay · param;  v' = momentum · v + g;  d = g + momentum · v' (nesterov) or v';
//           param' = param - lr · group.lr_scale · d
// Shapes    grad, param, v [count] f32, stored up to a multiple of 4 (the rest is stepped too: zeros stay zeros); v: 4 elements
//           do without momentum; groups [ceil(count / 64)] u32: the group of each block of 64 elements; table [groups] of (lr_scale,
//           weight_decay); scalars [8] f32: 0 lr · 3 multiplier · 4 skip, not 0: nothing changes (1, 2, 5 not read here)
// Bindings  group(0)  0 params uniform · 1 grad read · 2 groups read · 3 table read · 4 scalars read · 5 param read_write · 6 v read_write
// Dispatch  sgd_step: ceil(count / 512) workgroups of 8, a lane a block; sgd_step_coalesced: ceil(count / 256) of 64; both folded
//           over x and y
// Numerics  f32; v starts at zeros, which is PyTorch's first step (v' = g) for dampening 0; momentum 0 neither reads nor writes v
// Source    Sutskever et al. 2013, ICML (momentum); PyTorch's torch.optim.SGD for the order of decay, momentum and nesterov

// vec4s in a block of 64 elements.
const BLOCK: u32 = 16u;

struct Group { lr_scale: f32, weight_decay: f32 }
struct Params { count: u32, momentum: f32, nesterov: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad: array<vec4f>;
@group(0) @binding(2) var<storage, read> groups: array<u32>;
@group(0) @binding(3) var<storage, read> table: array<Group>;
@group(0) @binding(4) var<storage, read> scalars: array<f32, 8>;
@group(0) @binding(5) var<storage, read_write> param: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> v: array<vec4f>;

struct Step { lr: f32, multiplier: f32, weight_decay: f32 }

// The step of one group; a group number beyond the table takes the last row rather than reading past it.
fn step_of(block: u32) -> Step {
  let group = table[min(groups[block], arrayLength(&table) - 1u)];
  return Step(scalars[0] * group.lr_scale, scalars[3], group.weight_decay);
}

fn update(i: u32, step: Step) {
  let p = param[i];
  let g = grad[i] * step.multiplier + step.weight_decay * p;
  var d = g;
  if (params.momentum != 0.0) {
    let new_v = params.momentum * v[i] + g;
    v[i] = new_v;
    d = select(new_v, g + params.momentum * new_v, params.nesterov != 0u);
  }
  param[i] = p - step.lr * d;
}

@compute @workgroup_size(8)
fn sgd_step(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = (workgroup.x + workgroup.y * grid.x) * 8u + lane;
  let first = block * BLOCK;
  let whole = (params.count + 3u) / 4u;
  // No barrier follows: lanes past the end may leave.
  if (first >= whole || scalars[4] != 0.0) { return; }
  let step = step_of(block);
  let end = min(first + BLOCK, whole);
  for (var i = first; i < end; i++) {
    update(i, step);
  }
}

@compute @workgroup_size(64)
fn sgd_step_coalesced(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (workgroup.x + workgroup.y * grid.x) * 64u + lane;
  // No barrier follows: lanes past the end may leave.
  if (i >= (params.count + 3u) / 4u || scalars[4] != 0.0) { return; }
  update(i, step_of(i / BLOCK));
}
