// clip-factor.wgsl — from partial sums of squares to what an optimizer step needs: norm, multiplier, skip flag.
//
// Formula   norm = grad_scale · √(2^160 Σbig + Σmedium + 2^-150 Σsmall);  skip = 1 unless every value and the norm are finite;
//           multiplier = grad_scale · min(1, max_norm / (norm + 1e-6)), without the min where max_norm <= 0; 0 when skipping
// Shapes    partials [partials] vec4f of global-norm.wgsl; scalars [8] f32: 3 multiplier · 4 skip · 5 norm are written, others kept
// Bindings  group(0)  0 params uniform · 1 partials read · 2 scalars read_write
// Dispatch  1 workgroup: clip_factor a single lane, clip_factor_workgroup 256
// Numerics  f32, fixed order, in blocks of 64; an unscaled norm of 1.7e38 or more counts as not finite; scalars[5] is then 3.4e38
// Source    PyTorch's torch.nn.utils.clip_grad_norm_ (the 1e-6 included)

const WORKGROUP_SIZE: u32 = 256u;
const BLOCK: u32 = 64u;
const ROOT_SHRINK: f32 = 1.2089258196146292e24;
const ROOT_GROW: f32 = 2.6469779601696886e-23;
const LARGEST: f32 = 3.4028234e38;
// √Σbig at which the norm reaches 2^127: below it, the norm of all three parts still fits f32.
const OVERFLOW: f32 = 1.40737488355328e14;
const SMALLEST_NORMAL: f32 = 1.17549435e-38;
const CLIP_EPSILON: f32 = 1e-6;

struct Params { partials: u32, max_norm: f32, grad_scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> scalars: array<f32, 8>;

var<workgroup> shared_sums: array<vec4f, WORKGROUP_SIZE>;

fn write_scalars(sum: vec4f) {
  let big = sqrt(sum.x);
  let is_finite = sum.w == 0.0 && big < OVERFLOW;
  // Parts in their true sizes, then √(a² + b² + c²) relative to the largest of them.
  let parts = vec3f(min(big, OVERFLOW) * ROOT_SHRINK, sqrt(sum.y), sqrt(sum.z) * ROOT_GROW);
  let top = max(max(parts.x, parts.y), max(parts.z, SMALLEST_NORMAL));
  let relative = parts / top;
  let root = sqrt(dot(relative, relative));
  // A grad_scale above 1 may still take it out of range: compared before it is multiplied out.
  let fits = is_finite && top < LARGEST / max(root * params.grad_scale, 1.0);
  let norm = select(LARGEST, top * root * params.grad_scale, fits);
  var multiplier = params.grad_scale;
  if (params.max_norm > 0.0) { multiplier *= min(1.0, params.max_norm / (norm + CLIP_EPSILON)); }
  scalars[3] = select(0.0, multiplier, fits);
  scalars[4] = select(1.0, 0.0, fits);
  scalars[5] = norm;
}

@compute @workgroup_size(1)
fn clip_factor() {
  var sum = vec4f();
  for (var first = 0u; first < params.partials; first += BLOCK) {
    let end = min(first + BLOCK, params.partials);
    var block = vec4f();
    for (var i = first; i < end; i++) {
      block += partials[i];
    }
    sum += block;
  }
  write_scalars(sum);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn clip_factor_workgroup(@builtin(local_invocation_index) lane: u32) {
  var sum = vec4f();
  for (var i = lane; i < params.partials; i += WORKGROUP_SIZE) {
    sum += partials[i];
  }
  shared_sums[lane] = sum;
  for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
    // Publishes the sums of the level before.
    workgroupBarrier();
    if (lane < half) { shared_sums[lane] += shared_sums[lane + half]; }
  }
  if (lane == 0u) { write_scalars(shared_sums[0]); }
}
