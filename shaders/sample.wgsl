// sample.wgsl — a token drawn from each row of logits, with its log-probability; a workgroup a row.
//
// Formula   d_c = (l_c - max l) / T, T = temperature or, where that is 0, 1; Z = Σ_c exp(d_c); logprob = d_token - log Z;
//           entropy = log Z - (Σ_c exp(d_c) · d_c) / Z; lse = max l / T + log Z: of the whole row, whatever is kept;
//           token = argmax of d_c + gumbel_c over the kept c; temperature 0: argmax of l_c; the lowest c of equals.
//           Kept by top-k: l_c ≥ the k-th largest; of those by top-p: Σ exp(d) of larger ones < top-p · Σ exp(d) of all;
//           and by min-p: exp(d_c) ≥ min-p. gumbel_c comes from word c mod 4 of philox(c / 4, position + 1, 0, 0)
// Shapes    logits: view [rows, cols] f32 with a row stride (stride and offset count Elements); slots [rows] u32: row r belongs
//           to settings[slots[r]] ([slots, 8] u32: temperature, top-k, top-p, min-p, 64 bits of seed, 2 unused) and
//           positions[slots[r]]; token [rows] u32; scores [3, rows] f32: logprob, entropy, lse. Zeros where slots[r] is too
//           large; and where a logit is no finite number, then status = max(status, FAULT + r)
// Bindings  group(0)  0 params uniform · 1 logits read · 2 slots read · 3 settings read · 4 positions read ·
//           5 token read_write · 6 scores read_write · 7 status read_write
// Dispatch  one row a workgroup, folded over x and y
// Numerics  logits are compared by keys of their bits: exact. Sums in f32, in an order that cols alone fix: no row's results
//           depend on other rows. A threshold is found BITS bits at a time, with one reading of the row for each digit
// Source    Gumbel 1954 (argmax of d + gumbel is a sample of softmax); Holtzman et al. 2019, arXiv:1904.09751 (top-p); Nguyen
//           et al. 2024, arXiv:2407.01082 (min-p); order and ties as in Hugging Face's logits processors

// cols, offset or stride not divisible by 4: u32, and keys_at and is_inside look at each column.
alias Element = vec4u;
const WORKGROUP_SIZE: u32 = 256u;
// Lanes that share a row.
const SHARE: u32 = WORKGROUP_SIZE;
// Lanes that add up one of RADIX sums.
const PARTS: u32 = WORKGROUP_SIZE / 8u;
#include sample-row

#include philox

#include gumbel

var<workgroup> partial_sums: array<f32, RADIX * WORKGROUP_SIZE>;
var<workgroup> partial_candidates: array<Candidate, WORKGROUP_SIZE>;

// Sums over the lanes of a workgroup in a fixed order; every lane gets them. Each lane adds up one of PARTS parts of one sum,
// then RADIX lanes the parts of each: few barriers, since what a CPU driver compiles grows with them.
fn merge_sums(own: array<f32, RADIX>, lane: u32) -> array<f32, RADIX> {
  #for i in 0..RADIX
  partial_sums[${i}u * WORKGROUP_SIZE + lane] = own[${i}];
  #end
  workgroupBarrier();
  add_up(lane / PARTS * WORKGROUP_SIZE + lane % PARTS, PARTS, (lane / PARTS + 1u) * WORKGROUP_SIZE);
  workgroupBarrier();
  if (lane < RADIX) {
    add_up(lane * WORKGROUP_SIZE, 1u, lane * WORKGROUP_SIZE + PARTS);
  }
  workgroupBarrier();
  var sums: array<f32, RADIX>;
  #for i in 0..RADIX
  sums[${i}] = partial_sums[${i}u * WORKGROUP_SIZE];
  #end
  // Nobody may overwrite them for the next sums before all have read these.
  workgroupBarrier();
  return sums;
}

// Puts the sum of every `step`-th number from `first` on in the first one's place.
fn add_up(first: u32, step: u32, end: u32) {
  var sum = partial_sums[first];
  for (var i = first + step; i < end; i += step) {
    sum += partial_sums[i];
  }
  partial_sums[first] = sum;
}

fn merge_candidates(own: Candidate, lane: u32) -> Candidate {
  partial_candidates[lane] = own;
  workgroupBarrier();
  if (lane < PARTS) {
    keep_best(lane, PARTS, WORKGROUP_SIZE);
  }
  workgroupBarrier();
  if (lane == 0u) {
    keep_best(0u, 1u, PARTS);
  }
  return workgroupUniformLoad(&partial_candidates[0]);
}

// Puts the best of every `step`-th candidate from `first` on in the first one's place.
fn keep_best(first: u32, step: u32, end: u32) {
  var best = partial_candidates[first];
  for (var i = first + step; i < end; i += step) {
    best = better(best, partial_candidates[i]);
  }
  partial_candidates[first] = best;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn sample(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.x + group.y * groups.x;
  // Uniform: the row is the workgroup's, so all lanes leave together and none misses a barrier.
  if (row < params.rows) {
    sample_row(row, lane);
  }
}
