// adamw.wgsl — AdamW over flat arrays: every parameter of a model in one dispatch.
//
// Formula   g = multiplier · grad;  m' = m + (1-β1)(g - m);  u'² = β2 u² + (1-β2) g², where u = √v is stored instead of v;
//           param' = param - lr · group.lr_scale · ( m'/(1-β1^t) / ( u'/√(1-β2^t) + ε ) + group.weight_decay · param )
// Shapes    grad, m, u [count] f32, stored up to a multiple of 4 (the rest is stepped too: zeros stay zeros), of the parameters from
//           param[4 · first] on, a multiple of 64; groups [blocks] u32: the group of each block of 64 parameters; table [groups] of
//           (lr_scale, weight_decay); scalars [8] f32: 0 lr · 1 1/(1-β1^t) · 2 1/√(1-β2^t) · 3 multiplier · 4 skip, not 0: nothing
//           changes · 5 norm, not read here
// Bindings  group(0)  0 params uniform · 1 grad read · 2 groups read · 3 table read · 4 scalars read · 5 param read_write ·
//           6 m read_write · 7 u read_write
// Dispatch  adamw_step: ceil(count / 512) workgroups of 8, a lane a block; adamw_step_coalesced: ceil(count / 256) of 64; both
//           folded over x and y
// Numerics  g² underflows f32 below |g| = 1e-19 and u does not: right for |g| from 1e-30 to 1e30, any ε >= 0 (ε = 0 with u' = 0
//           gives no step). With r = |g|/u: u' = u + u·d/(1 + √(1+d)), d = (1-β2)(r² - 1): the change, a few ulps of 1
//           for β2 = 0.999999, is added to u instead of being rounded into a factor. 1-β arrive as such, from f64
// Source    Loshchilov & Hutter 2019, arXiv:1711.05101, alg. 2 (decay scaled by lr, as in PyTorch); Kingma & Ba, arXiv:1412.6980

// vec4s in a block of 64 elements.
const BLOCK: u32 = 16u;
const SMALLEST_NORMAL: f32 = 1.17549435e-38;

struct Group { lr_scale: f32, weight_decay: f32 }
struct Params { count: u32, first: u32, one_minus_beta1: f32, one_minus_beta2: f32, epsilon: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad: array<vec4f>;
@group(0) @binding(2) var<storage, read> groups: array<u32>;
@group(0) @binding(3) var<storage, read> table: array<Group>;
@group(0) @binding(4) var<storage, read> scalars: array<f32, 8>;
@group(0) @binding(5) var<storage, read_write> param: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> u: array<vec4f>;

struct Step { lr: f32, unbias_m: f32, unbias_u: f32, multiplier: f32, weight_decay: f32 }

// The step of one group; a group number beyond the table takes the last row rather than reading past it.
fn step_of(block: u32) -> Step {
  let group = table[min(groups[block], arrayLength(&table) - 1u)];
  return Step(scalars[0] * group.lr_scale, scalars[1], scalars[2], scalars[3], group.weight_decay);
}

// √(β2 u² + (1-β2) g²) without squaring anything small.
fn decayed_magnitude(old: vec4f, g: vec4f) -> vec4f {
  let size = abs(g);
  let r = min(size / max(old, vec4f(SMALLEST_NORMAL)), vec4f(1e6));
  let d = params.one_minus_beta2 * (r * r - 1.0);
  let near = old + old * (d / (1.0 + sqrt(1.0 + d)));
  let q = old / max(size, vec4f(SMALLEST_NORMAL));
  let far = size * sqrt(params.one_minus_beta2 + (1.0 - params.one_minus_beta2) * (q * q));
  return select(near, far, size * 1e-6 > old);
}

fn update(i: u32, step: Step) {
  let g = grad[i] * step.multiplier;
  let at = params.first + i;
  let p = param[at];
  let old_m = m[i];
  let new_m = old_m + params.one_minus_beta1 * (g - old_m);
  let new_u = decayed_magnitude(u[i], g);
  let scale = new_u * step.unbias_u + params.epsilon;
  let direction = select(vec4f(), new_m * step.unbias_m / max(scale, vec4f(SMALLEST_NORMAL)), scale > vec4f());
  m[i] = new_m;
  u[i] = new_u;
  param[at] = p - step.lr * (direction + step.weight_decay * p);
}

@compute @workgroup_size(8)
fn adamw_step(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = (workgroup.x + workgroup.y * grid.x) * 8u + lane;
  let first = block * BLOCK;
  let whole = (params.count + 3u) / 4u;
  // No barrier follows: lanes past the end may leave.
  if (first >= whole || scalars[4] != 0.0) { return; }
  let step = step_of(params.first / BLOCK + block);
  let end = min(first + BLOCK, whole);
  for (var i = first; i < end; i++) {
    update(i, step);
  }
}

@compute @workgroup_size(64)
fn adamw_step_coalesced(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (workgroup.x + workgroup.y * grid.x) * 64u + lane;
  // No barrier follows: lanes past the end may leave.
  if (i >= (params.count + 3u) / 4u || scalars[4] != 0.0) { return; }
  update(i, step_of((params.first + i) / BLOCK));
}
