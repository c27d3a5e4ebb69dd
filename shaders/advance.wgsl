// advance.wgsl — what a slot feeds next, once a token has been drawn for it.
//
// Formula   for each row r with s = slots[r] < count and left[s] > 0: produced[s] += 1; left[s] = 0 if token[r] is one of
//           stops[s], else left[s] - 1; and if left[s] is still > 0: tokens[s] = token[r]; positions[s] += 1
//           A last token is never fed, and may have no position to be fed at: the slot goes on feeding the one before.
// Shapes    slots, token [rows] u32, no slot twice; tokens, positions [count] u32; stops [count, 8] u32; progress [count, 2]
//           u32 = (left, produced)
// Bindings  group(0)  0 params uniform · 1 slots read · 2 token read · 3 stops read · 4 tokens read_write ·
//           5 positions read_write · 6 progress read_write
// Dispatch  ceil(rows / 64) workgroups of 64, a lane a row; folded over x and y
// Numerics  integers
// Source    none

struct Params {
  rows: u32,
  count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> slots: array<u32>;
@group(0) @binding(2) var<storage, read> token: array<u32>;
@group(0) @binding(3) var<storage, read> stops: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(5) var<storage, read_write> positions: array<u32>;
@group(0) @binding(6) var<storage, read_write> progress: array<vec2u>;

@compute @workgroup_size(64)
fn advance(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (workgroup.x + workgroup.y * grid.x) * 64u + lane;
  // No barrier follows: lanes past the end may leave.
  if (row >= params.rows) { return; }
  let slot = slots[row];
  if (slot >= params.count) { return; }
  let left = progress[slot].x;
  if (left == 0u) { return; }
  let drawn = token[row];
  let is_stop = any(stops[2u * slot] == vec4u(drawn)) || any(stops[2u * slot + 1u] == vec4u(drawn));
  let still_left = select(left - 1u, 0u, is_stop);
  progress[slot] = vec2u(still_left, progress[slot].y + 1u);
  if (still_left == 0u) { return; }
  tokens[slot] = drawn;
  positions[slot] += 1u;
}
