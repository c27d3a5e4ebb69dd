// Bits of a threshold that one reading of a row finds, and 2^BITS.
const BITS: u32 = 3u;
const RADIX: u32 = 8u;
// vec4s in a chain of additions.
const BLOCK: u32 = 64u;
// Keys of the smallest and the largest finite number, and what stands for any other.
const LOWEST_KEY = 0x00800000u;
const HIGHEST_KEY = 0xff7fffffu;
const NOT_FINITE = 0xffffffffu;
// What status becomes when row 0 has a logit that is no finite number.
const FAULT = 0x80000001u;

struct Params {
  rows: u32,
  // Numbers of a row, and vec4s.
  cols: u32,
  quads: u32,
  offset: u32,
  stride: u32,
  slots: u32,
  // Half of the lanes that share a row.
  half: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<Element>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> settings: array<vec4u>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read_write> token: array<u32>;
@group(0) @binding(6) var<storage, read_write> scores: array<f32>;
@group(0) @binding(7) var<storage, read_write> status: atomic<u32>;

// A row of logits, and how to choose from it.
struct Row {
  start: u32,
  // Its largest logit.
  top: f32,
  is_greedy: bool,
  inverse_temperature: f32,
  top_k: u32,
  top_p: f32,
  log_min_p: f32,
  seed: vec2u,
  // Index of the token to be chosen.
  index: u32,
}

// A column and what it is judged by.
struct Candidate {
  key: u32,
  col: u32,
}

// Keys order the bits of floats as their numbers are ordered; both zeros have the same. That of a finite number is never 0.
fn keys_of(bits: vec4u) -> vec4u {
  return select(bits | vec4u(0x80000000u), ~bits, bits > vec4u(0x80000000u));
}

fn values_of(keys: vec4u) -> vec4f {
  return bitcast<vec4f>(select(~keys, keys ^ vec4u(0x80000000u), keys >= vec4u(0x80000000u)));
}

// Keys of columns 4q to 4q + 3 of the row that begins at `start`.
fn keys_at(start: u32, q: u32) -> vec4u {
  return keys_of(logits[start + q]);
}

// Which of these columns there are.
fn is_inside(q: u32) -> vec4<bool> {
  return vec4<bool>(true);
}

fn total(v: vec4f) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

fn row_of(row: u32, slot: u32) -> Row {
  let head = settings[2u * slot];
  let tail = settings[2u * slot + 1u];
  let temperature = bitcast<f32>(head.x);
  let is_greedy = temperature <= 0.0;
  let inverse_temperature = 1.0 / select(temperature, 1.0, is_greedy);
  // Without min-p this is -85: no column so far below the largest is ever drawn, since gumbel spans 26. An adapter's log
  // of 1 may be 2^-21.
  let log_min_p = min(log(max(bitcast<f32>(head.w), 1.0e-37)), 0.0);
  let start = params.offset + row * params.stride;
  return Row(start, 0.0, is_greedy, inverse_temperature, head.y, bitcast<f32>(head.z), log_min_p, tail.xy, positions[slot] + 1u);
}

// d of the formula; the bound keeps it finite.
fn distances(row: Row, keys: vec4u) -> vec4f {
  return max(values_of(keys) - row.top, vec4f(-1.0e30)) * row.inverse_temperature;
}

fn better(a: Candidate, b: Candidate) -> Candidate {
  if (b.key > a.key || (b.key == a.key && b.col < a.col)) {
    return b;
  }
  return a;
}

// The largest logit of a lane's columns. One that is no finite number comes before all others.
fn highest_of(row: Row, lane: u32) -> Candidate {
  var highest = vec4u(0u);
  var at = vec4u(0u);
  for (var q = lane; q < params.quads; q += SHARE) {
    let raw = keys_at(row.start, q);
    let keys = select(raw, vec4u(NOT_FINITE), raw - LOWEST_KEY > vec4u(HIGHEST_KEY - LOWEST_KEY));
    let is_higher = keys > highest;
    highest = select(highest, keys, is_higher);
    at = select(at, vec4u(q), is_higher);
  }
  let cols = at * 4u + vec4u(0u, 1u, 2u, 3u);
  let front = better(Candidate(highest.x, cols.x), Candidate(highest.y, cols.y));
  let back = better(Candidate(highest.z, cols.z), Candidate(highest.w, cols.w));
  return better(front, back);
}

// Σ exp(d) and Σ exp(d) · d over a lane's columns, in blocks, which are then summed.
fn moments_of(row: Row, lane: u32) -> array<f32, RADIX> {
  var sums: array<f32, RADIX>;
  for (var from_q = lane; from_q < params.quads; from_q += BLOCK * SHARE) {
    let to_q = min(from_q + BLOCK * SHARE, params.quads);
    var masses = vec4f(0.0);
    var products = vec4f(0.0);
    for (var q = from_q; q < to_q; q += SHARE) {
      let d = distances(row, keys_at(row.start, q));
      let e = select(vec4f(0.0), exp(d), is_inside(q));
      masses += e;
      products += e * d;
    }
    sums[0] += total(masses);
    sums[1] += total(products);
  }
  return sums;
}

// For each digit of a bound: how many of a lane's columns have keys of at least the bound, or Σ exp(d) over them.
fn sums_of(row: Row, lane: u32, bar: u32, low: u32, shift: u32, is_mass: bool) -> array<f32, RADIX> {
  #for i in 0..RADIX
  let bound_${i} = vec4u(max(bar, low + (${i}u << shift)));
  var sum_${i} = 0.0;
  #end
  for (var q = lane; q < params.quads; q += SHARE) {
    let keys = keys_at(row.start, q);
    let weights = select(vec4f(1.0), exp(distances(row, keys)), is_mass);
    let present = select(vec4f(0.0), weights, is_inside(q));
    #for i in 0..RADIX
    sum_${i} += total(select(vec4f(0.0), present, keys >= bound_${i}));
    #end
  }
  var sums: array<f32, RADIX>;
  #for i in 0..RADIX
  sums[${i}] = sum_${i};
  #end
  return sums;
}

// The least key of what top-k and top-p keep: the least such that fewer than top-k keys are larger, and then such that of
// the keys from there on the larger ones have less than top-p of the mass.
fn least_kept(row: Row, lane: u32) -> u32 {
  var bar = 0u;
  for (var search = 0u; search < 2u; search++) {
    let is_mass = search == 1u;
    let is_on = select(row.top_k > 0u, row.top_p < 1.0, is_mass);
    var goal = f32(row.top_k);
    var low = 0u;
    for (var left = select(0u, 32u, is_on); left > 0u;) {
      let shift = max(left, BITS) - BITS;
      let sums = merge_sums(sums_of(row, lane, bar, low, shift, is_mass), lane);
      if (is_mass && left == 32u) {
        // More than 0, so that the largest logit is kept.
        goal = max(row.top_p * sums[0], 1.0e-37);
      }
      // A bound is at most the key that is looked for exactly if the keys from the bound on reach the goal.
      #for i in 1..RADIX
      low += select(0u, 1u << shift, sums[${i}] >= goal);
      #end
      left = shift;
    }
    bar = max(bar, low);
  }
  return bar;
}

// The best of a lane's columns with keys from `bar` on, noise included.
fn drawn_from(row: Row, lane: u32, bar: u32) -> Candidate {
  var best = Candidate(0u, 0u);
  // A loop that does not run costs a CPU driver nothing; a branch costs as much as both its sides.
  for (var q = lane; q < select(params.quads, 0u, row.is_greedy); q += SHARE) {
    let keys = keys_at(row.start, q);
    let d = distances(row, keys);
    let words = philox4x32(vec4u(q, row.index, 0u, 0u), row.seed);
    let noise = vec4f(gumbel_from_bits(words.x), gumbel_from_bits(words.y), gumbel_from_bits(words.z), gumbel_from_bits(words.w));
    let is_kept = is_inside(q) & (keys >= vec4u(bar)) & (d >= vec4f(row.log_min_p));
    let judged = select(vec4u(0u), keys_of(bitcast<vec4u>(d + noise)), is_kept);
    #for i in 0..4
    if (judged[${i}] > best.key) {
      best = Candidate(judged[${i}], 4u * q + ${i}u);
    }
    #end
  }
  return best;
}

fn write_row(at: u32, chosen: u32, logprob: f32, entropy: f32, lse: f32) {
  token[at] = chosen;
  scores[at] = logprob;
  scores[params.rows + at] = entropy;
  scores[2u * params.rows + at] = lse;
}

// Samples row `at` by SHARE lanes.
fn sample_row(at: u32, lane: u32) {
  let slot = slots[at];
  if (slot >= params.slots) {
    if (lane == 0u) {
      write_row(at, 0u, 0.0, 0.0, 0.0);
    }
    return;
  }
  var row = row_of(at, slot);
  let highest = merge_candidates(highest_of(row, lane), lane);
  row.top = values_of(vec4u(highest.key)).x;
  let sums = merge_sums(moments_of(row, lane), lane);
  let drawn = merge_candidates(drawn_from(row, lane, least_kept(row, lane)), lane);
  if (lane > 0u) {
    return;
  }
  if (highest.key == NOT_FINITE) {
    write_row(at, 0u, 0.0, 0.0, 0.0);
    atomicMax(&status, FAULT + at);
    return;
  }
  let chosen = select(drawn.col, highest.col, row.is_greedy);
  let d = distances(row, keys_at(row.start, chosen / 4u))[chosen % 4u];
  let log_mass = log(sums[0]);
  let lse = row.top * row.inverse_temperature + log_mass;
  write_row(at, chosen, d - log_mass, log_mass - sums[1] / sums[0], lse);
}
