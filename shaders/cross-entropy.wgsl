// cross-entropy.wgsl — gradient of the log-prob of a label to whole logits, out of place.
//
// Formula   dlogits[r, c] = dlogprob[r] · (δ_{c, label[r]} - exp(logits[r, c] - lse[r])); 0 in rows without a label
// Shapes    logits, dlogits [rows, cols] f32; labels u32, lse, dlogprob f32 [rows]; a label >= cols (0xffffffff) is none
// Bindings  group(0)  0 params uniform · 1 logits read · 2 labels read · 3 lse read · 4 dlogprob read · 5 dlogits read_write
// Dispatch  (ceil(Elements of a row / (LANES_X · COLS)), y, z), y · z >= ceil(rows / LANES_Y); workgroup LANES_X × LANES_Y; no barriers
// Numerics  f32; each element alone; exp(..) <= 1 since lse >= logits. The forward pass is lm_head_forward (lm-head.wgsl)
// Source    loss = -Σ_r weight[r] · logprob[r], so dlogprob = -weight · dloss, and ∂logprob/∂logits = δ - softmax

// Rows in vec4s (the host sets Element = vec4<f32>, Columns = vec4<u32>, WIDTH = 4 and columns_of) where cols and stride are
// multiples of 4; both count Elements.
alias Element = f32;
alias Columns = u32;
const WIDTH: u32 = 1u;
// Hardware: lanes along columns (coalesced). A CPU driver: a lane a row, so that a row's scalars serve COLS Elements.
const LANES_X: u32 = 64u;
const LANES_Y: u32 = 1u;
const COLS: u32 = 16u;

struct Params { rows: u32, cols: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<Element>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> dlogprob: array<f32>;
@group(0) @binding(5) var<storage, read_write> dlogits: array<Element>;

// The columns that Element c of a row holds.
fn columns_of(c: u32) -> Columns {
  return c;
}

@compute @workgroup_size(LANES_X, LANES_Y)
fn cross_entropy_backward(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) lane: vec3u,
) {
  let row = (workgroup.y + workgroup.z * grid.y) * LANES_Y + lane.y;
  // No barrier follows: lanes past the end may leave.
  if (row >= params.rows) { return; }
  let row_lse = lse[row];
  let label = labels[row];
  // Without a label the log-prob is the constant 0.
  let g = select(0.0, dlogprob[row], label < params.cols * WIDTH);
  let first = workgroup.x * LANES_X * COLS + lane.x;
  let end = min(first + LANES_X * COLS, params.cols);
  for (var c = first; c < end; c += LANES_X) {
    let i = row * params.cols + c;
    let at_label = select(Element(), Element(1.0), columns_of(c) == Columns(label));
    dlogits[i] = g * (at_label - exp(logits[i] - row_lse));
  }
}
