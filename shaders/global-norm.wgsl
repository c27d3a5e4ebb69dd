// global-norm.wgsl — partial sums of squares of a flat array, safe from overflow and underflow.
//
// Formula   partial = ( Σ (x·2^-80)² over |x| > 2^40,  Σ x² between,  Σ (x·2^75)² over |x| < 2^-50,  1 if any x is not finite ),
//           so that norm² = 2^160 · big + medium + 2^-150 · small; clip-factor.wgsl puts them together
// Shapes    values [count] f32, stored up to a multiple of 4 (the rest is not counted); partials [partial_offset +
//           ceil(count / chunk) or more] vec4f, one per `chunk` consecutive values; chunk is a multiple of 4
// Bindings  group(0)  0 params uniform · 1 values read · 2 partials read_write
// Dispatch  global_norm: ceil(partials / 8) workgroups of 8, a lane a partial; global_norm_workgroup: a workgroup of 256 a partial;
//           both folded over x and y. Several arrays: one dispatch each, with its partial_offset
// Numerics  right for norms up to 1.7e38 and values down to 1.2e-38; fixed order: blocks of 16, then chunks (a tree on hardware);
//           finiteness by a test of bits, since WGSL may assume that there is no NaN
// Source    Blue 1978, doi:10.1145/355769.355771 (three accumulators; thresholds for f32)

const WORKGROUP_SIZE: u32 = 256u;
// vec4s to a partial sum.
const BLOCK: u32 = 4u;
const BIG: f32 = 1.099511627776e12;
const SMALL: f32 = 8.8817841970012523e-16;
const SHRINK: f32 = 8.271806125530277e-25;
const GROW: f32 = 3.777893186295716e22;

struct Params { count: u32, chunk: u32, partial_offset: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4f>;

var<workgroup> shared_sums: array<vec4f, WORKGROUP_SIZE>;

// The share of values 4i..4i+3 in a partial. A value that is not finite leaves only its mark.
fn share(i: u32) -> vec4f {
  let x = select(vec4f(), values[i], 4u * i + vec4u(0u, 1u, 2u, 3u) < vec4u(params.count));
  let is_finite = (bitcast<vec4u>(x) & vec4u(0x7fffffffu)) < vec4u(0x7f800000u);
  let size = abs(x);
  let big = select(vec4f(), x * SHRINK, is_finite & (size > vec4f(BIG)));
  let medium = select(vec4f(), x, is_finite & (size >= vec4f(SMALL)) & (size <= vec4f(BIG)));
  let small = select(vec4f(), x * GROW, is_finite & (size < vec4f(SMALL)));
  return vec4f(dot(big, big), dot(medium, medium), dot(small, small), select(1.0, 0.0, all(is_finite)));
}

@compute @workgroup_size(8)
fn global_norm(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let partial = (workgroup.x + workgroup.y * grid.x) * 8u + lane;
  let first = partial * (params.chunk / 4u);
  // No barrier follows: lanes past the end may leave.
  if (first >= (params.count + 3u) / 4u) { return; }
  let end = min(first + params.chunk / 4u, (params.count + 3u) / 4u);
  var sum = vec4f();
  var i = first;
  for (; i + BLOCK <= end; i += BLOCK) {
    var block = vec4f();
    #for k in 0..BLOCK
    block += share(i + ${k}u);
    #end
    sum += block;
  }
  for (; i < end; i++) {
    sum += share(i);
  }
  partials[params.partial_offset + partial] = sum;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn global_norm_workgroup(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let partial = workgroup.x + workgroup.y * grid.x;
  let first = partial * (params.chunk / 4u);
  // Uniform across the workgroup: leaving before the barriers is legal.
  if (first >= (params.count + 3u) / 4u) { return; }
  let end = min(first + params.chunk / 4u, (params.count + 3u) / 4u);
  var sum = vec4f();
  for (var i = first + lane; i < end; i += WORKGROUP_SIZE) {
    sum += share(i);
  }
  shared_sums[lane] = sum;
  for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
    // Publishes the sums of the level before.
    workgroupBarrier();
    if (lane < half) { shared_sums[lane] += shared_sums[lane + half]; }
  }
  if (lane == 0u) { partials[params.partial_offset + partial] = shared_sums[0]; }
}
