// advance-log.wgsl — the record of the tokens that were drawn, slot by slot.
//
// Formula   for each row r with s = slots[r] < count and left[s] > 0:
//           log[s, produced[s] mod length] = (token[r], logprob[r], entropy[r], produced[s])
// Shapes    slots, token [rows] u32, no slot twice; logprob, entropy: views [rows] of bits of f32; progress [count, 2] u32 =
//           (left, produced), as it is before advance.wgsl; log [count, length, 4] u32
// Bindings  group(0)  0 params uniform · 1 slots read · 2 token read · 3 logprob read · 4 entropy read · 5 progress read ·
//           6 log read_write
// Dispatch  ceil(rows / 64) workgroups of 64, a lane a row; folded over x and y
// Numerics  exact copies
// Source    none

struct Params {
  rows: u32,
  count: u32,
  length: u32,
  logprob_offset: u32,
  logprob_stride: u32,
  entropy_offset: u32,
  entropy_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> slots: array<u32>;
@group(0) @binding(2) var<storage, read> token: array<u32>;
@group(0) @binding(3) var<storage, read> logprob: array<u32>;
@group(0) @binding(4) var<storage, read> entropy: array<u32>;
@group(0) @binding(5) var<storage, read> progress: array<vec2u>;
@group(0) @binding(6) var<storage, read_write> log: array<vec4u>;

@compute @workgroup_size(64)
fn advance_log(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (workgroup.x + workgroup.y * grid.x) * 64u + lane;
  // No barrier follows: lanes past the end may leave.
  if (row >= params.rows) { return; }
  let slot = slots[row];
  if (slot >= params.count || progress[slot].x == 0u) { return; }
  let produced = progress[slot].y;
  log[slot * params.length + produced % params.length] = vec4u(
    token[row],
    logprob[params.logprob_offset + row * params.logprob_stride],
    entropy[params.entropy_offset + row * params.entropy_stride],
    produced,
  );
}
