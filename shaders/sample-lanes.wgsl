// sample-lanes.wgsl — a token drawn from each row of logits, with its log-probability; a lane a row.
//
// Formula   as in sample.wgsl
// Shapes    as in sample.wgsl
// Bindings  group(0)  0 params uniform · 1 logits read · 2 slots read · 3 settings read · 4 positions read ·
//           5 token read_write · 6 scores read_write · 7 status read_write
// Dispatch  LANES rows a workgroup, folded over x and y
// Numerics  as in sample.wgsl
// Source    as in sample.wgsl

// As in sample.wgsl.
alias Element = vec4u;
const LANES: u32 = 8u;
// Lanes that share a row.
const SHARE: u32 = 1u;
#include sample-row

#include philox

#include gumbel

fn merge_sums(own: array<f32, RADIX>, lane: u32) -> array<f32, RADIX> {
  return own;
}

fn merge_candidates(own: Candidate, lane: u32) -> Candidate {
  return own;
}

@compute @workgroup_size(LANES)
fn sample_lanes(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.x + group.y * groups.x) * LANES + lane;
  if (row < params.rows) {
    sample_row(row, 0u);
  }
}
