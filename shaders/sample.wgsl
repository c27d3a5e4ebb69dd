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

#include sample-row

#include philox

#include gumbel

var<workgroup> partial_sums: array<f32, RADIX * WORKGROUP_SIZE>;
var<workgroup> partial_candidates: array<Candidate, WORKGROUP_SIZE>;

// Sums over the lanes of a workgroup in a fixed tree; every lane gets them. Where the tree begins is no constant, since a CPU
// driver would unroll its levels and compile for seconds.
fn merge_sums(own: array<f32, RADIX>, lane: u32) -> array<f32, RADIX> {
  #for i in 0..RADIX
  partial_sums[${i}u * WORKGROUP_SIZE + lane] = own[${i}];
  #end
  workgroupBarrier();
  for (var half = params.half; half > 0u; half >>= 1u) {
    if (lane < half) {
      #for i in 0..RADIX
      partial_sums[${i}u * WORKGROUP_SIZE + lane] += partial_sums[${i}u * WORKGROUP_SIZE + lane + half];
      #end
    }
    workgroupBarrier();
  }
  var sums: array<f32, RADIX>;
  #for i in 0..RADIX
  sums[${i}] = partial_sums[${i}u * WORKGROUP_SIZE];
  #end
  // Nobody may overwrite them for the next sums before all have read these.
  workgroupBarrier();
  return sums;
}

fn merge_candidates(own: Candidate, lane: u32) -> Candidate {
  partial_candidates[lane] = own;
  workgroupBarrier();
  for (var half = params.half; half > 0u; half >>= 1u) {
    if (lane < half) {
      partial_candidates[lane] = better(partial_candidates[lane], partial_candidates[lane + half]);
    }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&partial_candidates[0]);
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
