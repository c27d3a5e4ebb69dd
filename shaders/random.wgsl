// random.wgsl — random numbers from a counter: number i is a function of (seed, stream, call, i) alone.
//
// Formula   words = philox4x32-10(counter = (i / 4, 0, stream, call), key = seed); number i uses word i mod 4. Uniform:
//           ⌊word / 2^8⌋ / 2^24. Gumbel: -log(-log(1-u)), u in (0, 1). Normal: pairs √(-2 log u) · (cos, sin)(2πv) from two words
// Shapes    values [count]: u32 for random_bits, f32 bits else; stream: seed_low, seed_high, stream; call: one number
// Bindings  group(0)  0 params uniform · 1 stream read · 2 call read · 3 values read_write
// Dispatch  ceil(count / 256) workgroups of 64, a lane a counter; folded over x and y
// Numerics  bits and uniforms are equal on every adapter; normal and Gumbel differ by up to about 1e-6, since log and sqrt are the
//           adapter's. |normal| < 6.8 and -2.9 < gumbel < 23, finely spaced at those ends
// Source    Salmon, Moraes, Dror & Shaw 2011, SC'11, doi:10.1145/2063384.2063405, §3.3 (Philox); Box & Muller 1958

const RANDOM_HALF_PI: f32 = 1.5707963267948966;

struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stream: array<u32>;
@group(0) @binding(2) var<storage, read> call: array<u32>;
@group(0) @binding(3) var<storage, read_write> values: array<u32>;

#include philox

#include gumbel

// (cos, sin) of 2πv for v in [0, 1): quadrants are cut off exactly, then Taylor series on [-π/4, π/4].
fn cos_sin_turn(v: f32) -> vec2f {
  let quadrant = floor(4.0 * v + 0.5);
  let a = (4.0 * v - quadrant) * RANDOM_HALF_PI;
  let q = a * a;
  let c = 1.0 - q * (0.5 - q * (1.0 / 24.0 - q * (1.0 / 720.0 - q / 40320.0)));
  let s = a * (1.0 - q * (1.0 / 6.0 - q * (1.0 / 120.0 - q * (1.0 / 5040.0 - q / 362880.0))));
  let turn = u32(quadrant) & 3u;
  let straight = select(vec2f(-s, c), vec2f(c, s), (turn & 1u) == 0u);
  return select(straight, -straight, turn >= 2u);
}

// Two independent standard normal numbers.
fn normal_pair_from_bits(bits: vec2u) -> vec2f {
  let u = open_unit_from_bits(bits.x);
  return sqrt(2.0 * minus_log_unit(u, 1.0 - u)) * cos_sin_turn(uniform_from_bits(bits.y));
}

fn normal_from_bits(bits: vec4u) -> vec4f {
  return vec4f(normal_pair_from_bits(bits.xy), normal_pair_from_bits(bits.zw));
}

// Numbers 4 · lane to 4 · lane + 3.
fn words_of(lane: u32) -> vec4u {
  return philox4x32(vec4u(lane, 0u, stream[2], call[0]), vec2u(stream[0], stream[1]));
}

fn store(lane: u32, numbers: vec4u) {
  let first = 4u * lane;
  #for w in 0..4
  if (first + ${w}u < params.count) { values[first + ${w}u] = numbers[${w}]; }
  #end
}

@compute @workgroup_size(64)
fn random_bits(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let lane = (workgroup.x + workgroup.y * grid.x) * 64u + local;
  store(lane, words_of(lane));
}

@compute @workgroup_size(64)
fn random_uniform(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let lane = (workgroup.x + workgroup.y * grid.x) * 64u + local;
  let words = words_of(lane);
  let low = vec2f(uniform_from_bits(words.x), uniform_from_bits(words.y));
  let high = vec2f(uniform_from_bits(words.z), uniform_from_bits(words.w));
  store(lane, bitcast<vec4u>(vec4f(low, high)));
}

@compute @workgroup_size(64)
fn random_normal(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let lane = (workgroup.x + workgroup.y * grid.x) * 64u + local;
  let words = words_of(lane);
  store(lane, bitcast<vec4u>(normal_from_bits(words)));
}

@compute @workgroup_size(64)
fn random_gumbel(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let lane = (workgroup.x + workgroup.y * grid.x) * 64u + local;
  let words = words_of(lane);
  let low = vec2f(gumbel_from_bits(words.x), gumbel_from_bits(words.y));
  let high = vec2f(gumbel_from_bits(words.z), gumbel_from_bits(words.w));
  store(lane, bitcast<vec4u>(vec4f(low, high)));
}
