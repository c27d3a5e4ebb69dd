// random.wgsl — random numbers from a counter: number i of a stream is a function of (seed, stream, i) alone.
//
// Formula   words = philox4x32-10(counter = (i / 4 as 64 bits, stream, 0), key = seed); number i uses word i mod 4. Uniform:
//           ⌊word / 2^8⌋ / 2^24. Gumbel: -log(-log(1-u)), u in (0, 1). Normal: pairs √(-2 log u) · (cos, sin)(2πv) from two words
// Shapes    values [count]: u32 for random_bits, f32 bits else; values[k] is number offset + k of the stream
// Bindings  group(0)  0 params uniform · 1 values read_write
// Dispatch  ceil((count + offset mod 4) / 256) workgroups of 64, a lane a counter; folded over x and y
// Numerics  bits and uniforms are equal on every adapter; normal and Gumbel differ by up to about 1e-6, since log and sqrt are the
//           adapter's. |normal| < 6.8 and -2.9 < gumbel < 23, finely spaced at those ends. The functions at column 0 need no
//           binding: generated kernels take them (engine/graph/library.ts)
// Source    Salmon, Moraes, Dror & Shaw 2011, SC'11, doi:10.1145/2063384.2063405, §3.3 (Philox); Box & Muller 1958

const PHILOX_M0 = 0xd2511f53u;
const PHILOX_M1 = 0xcd9e8d57u;
const PHILOX_W0 = 0x9e3779b9u;
const PHILOX_W1 = 0xbb67ae85u;
const RANDOM_HALF_PI: f32 = 1.5707963267948966;

struct Params { seed_low: u32, seed_high: u32, stream: u32, offset_low: u32, offset_high: u32, count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> values: array<u32>;

// High 32 bits of a 32 × 32 bit product, by halves.
fn multiply_high(a: u32, b: u32) -> u32 {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u);
}

fn philox4x32(counter: vec4u, key: vec2u) -> vec4u {
  var c = counter;
  var k = key;
  for (var i = 0u; i < 10u; i++) {
    c = vec4u(
      multiply_high(PHILOX_M1, c.z) ^ c.y ^ k.x,
      PHILOX_M1 * c.z,
      multiply_high(PHILOX_M0, c.x) ^ c.w ^ k.y,
      PHILOX_M0 * c.x,
    );
    k += vec2u(PHILOX_W0, PHILOX_W1);
  }
  return c;
}

// [0, 1) in steps of 2^-24: exact in f32.
fn uniform_from_bits(bits: u32) -> f32 {
  return f32(bits >> 8u) * 5.9604644775390625e-8;
}

// (0, 1): from 2^-33, finely spaced where small, to 1 - 2^-24 (the sum of the two parts may round up to 1).
fn open_unit_from_bits(bits: u32) -> f32 {
  return min(uniform_from_bits(bits) + (f32(bits & 0xffu) + 0.5) * 2.3283064365386963e-10, 0.99999994);
}

// -log(x) for x in (0, 1), where rest = 1 - x is known better than x. An adapter's log is not relative to its result near
// x = 1; there log is 2 artanh, by its series.
fn minus_log_unit(x: f32, rest: f32) -> f32 {
  let s = rest / (1.0 + x);
  let q = s * s;
  let series = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0 + q / 15.0))))));
  return select(-log(x), 2.0 * s * series, x > 0.5);
}

// Standard Gumbel: finely spaced where it is large.
fn gumbel_from_bits(bits: u32) -> f32 {
  let u = open_unit_from_bits(bits);
  return -log(minus_log_unit(1.0 - u, u));
}

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

// Counter of lane `lane` when lane 0 holds number `offset` (low, high) of a stream.
fn counter_at(offset: vec2u, stream: u32, lane: u32) -> vec4u {
  let low = (offset.x >> 2u) | (offset.y << 30u);
  let sum = low + lane;
  return vec4u(sum, (offset.y >> 2u) + select(0u, 1u, sum < low), stream, 0u);
}

@compute @workgroup_size(64) fn random_bits(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let lane = (workgroup.x + workgroup.y * grid.x) * 64u + local;
  let offset = vec2u(params.offset_low, params.offset_high);
  let words = philox4x32(counter_at(offset, params.stream, lane), vec2u(params.seed_low, params.seed_high));
  let numbers = words;
  // Where the offset is no multiple of 4, the first lane's first numbers lie before it: `first` wraps around and fails the test.
  let first = 4u * lane - (params.offset_low & 3u);
  #for w in 0..4
  if (first + ${w}u < params.count) { values[first + ${w}u] = numbers[${w}]; }
  #end
}

@compute @workgroup_size(64) fn random_uniform(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let lane = (workgroup.x + workgroup.y * grid.x) * 64u + local;
  let offset = vec2u(params.offset_low, params.offset_high);
  let words = philox4x32(counter_at(offset, params.stream, lane), vec2u(params.seed_low, params.seed_high));
  let numbers = bitcast<vec4u>(vec4f(uniform_from_bits(words.x), uniform_from_bits(words.y), uniform_from_bits(words.z), uniform_from_bits(words.w)));
  // Where the offset is no multiple of 4, the first lane's first numbers lie before it: `first` wraps around and fails the test.
  let first = 4u * lane - (params.offset_low & 3u);
  #for w in 0..4
  if (first + ${w}u < params.count) { values[first + ${w}u] = numbers[${w}]; }
  #end
}

@compute @workgroup_size(64) fn random_normal(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let lane = (workgroup.x + workgroup.y * grid.x) * 64u + local;
  let offset = vec2u(params.offset_low, params.offset_high);
  let words = philox4x32(counter_at(offset, params.stream, lane), vec2u(params.seed_low, params.seed_high));
  let numbers = bitcast<vec4u>(normal_from_bits(words));
  // Where the offset is no multiple of 4, the first lane's first numbers lie before it: `first` wraps around and fails the test.
  let first = 4u * lane - (params.offset_low & 3u);
  #for w in 0..4
  if (first + ${w}u < params.count) { values[first + ${w}u] = numbers[${w}]; }
  #end
}

@compute @workgroup_size(64) fn random_gumbel(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let lane = (workgroup.x + workgroup.y * grid.x) * 64u + local;
  let offset = vec2u(params.offset_low, params.offset_high);
  let words = philox4x32(counter_at(offset, params.stream, lane), vec2u(params.seed_low, params.seed_high));
  let numbers = bitcast<vec4u>(vec4f(gumbel_from_bits(words.x), gumbel_from_bits(words.y), gumbel_from_bits(words.z), gumbel_from_bits(words.w)));
  // Where the offset is no multiple of 4, the first lane's first numbers lie before it: `first` wraps around and fails the test.
  let first = 4u * lane - (params.offset_low & 3u);
  #for w in 0..4
  if (first + ${w}u < params.count) { values[first + ${w}u] = numbers[${w}]; }
  #end
}
