// lm-head-backward.wgsl — gradient of log-prob, log-sum-exp and entropy to a chunk of logits, in place.
//
// Formula   z, lse, p, entropy as in lm-head.wgsl. With δ_c = 1 at the label, else 0:
//           ∂logprob/∂z_c = δ_c - p_c;  ∂lse/∂z_c = p_c;  ∂entropy/∂z_c = -p_c · (log p_c + entropy), log p_c = z_c - lse;
//           dz_c = dlogprob · δ_c + p_c · (dlse - dlogprob - dentropy · (log p_c + entropy))
//           dlogits_c = dz_c / temperature · (1 - tanh²(l_c / softcap)), the last factor 1 without softcap
// Shapes    logits → dlogits [rows, stride >= cols] f32; labels u32, lse, entropy, dlogprob, dlse, dentropy [row_offset + rows or more]
// Bindings  group(0)  0 params uniform · 1 labels read · 2 lse read · 3 entropy read · 4 dlogprob read · 5 dlse read ·
//           6 dentropy read · 7 logits read_write; a gradient that is not in Params.present may be any f32 buffer of that length
// Dispatch  (ceil(Elements of a row / (LANES_X · COLS)), y, z), y · z >= ceil(rows / LANES_Y); workgroup LANES_X × LANES_Y; no barriers
// Numerics  f32 always; each element alone; p <= 1 since lse >= z; columns cols..stride are left as they are
// Source    derived above from softmax: ∂p_j/∂z_c = p_j (δ_jc - p_c)

// Rows in vec4s (the host sets Element = vec4<f32>, Columns = vec4<u32>, WIDTH = 4 and columns_of) where cols and stride are
// multiples of 4; both count Elements.
alias Element = f32;
alias Columns = u32;
const WIDTH: u32 = 1u;
// True where Params.softcap > 0; a constant, since a CPU driver computes both sides of a branch.
const SOFTCAP: bool = false;
// Hardware: lanes along columns (coalesced). A CPU driver: a lane a row, so that a row's six scalars serve COLS Elements.
const LANES_X: u32 = 64u;
const LANES_Y: u32 = 1u;
const COLS: u32 = 16u;

const HAS_DLOGPROB: u32 = 1u;
const HAS_DLSE: u32 = 2u;
const HAS_DENTROPY: u32 = 4u;

struct Params {
  rows: u32,
  cols: u32,
  stride: u32,
  row_offset: u32,
  softcap: f32,
  inverse_temperature: f32,
  present: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read> entropy: array<f32>;
@group(0) @binding(4) var<storage, read> dlogprob: array<f32>;
@group(0) @binding(5) var<storage, read> dlse: array<f32>;
@group(0) @binding(6) var<storage, read> dentropy: array<f32>;
@group(0) @binding(7) var<storage, read_write> logits: array<Element>;

// The columns that Element c of a row holds.
fn columns_of(c: u32) -> Columns {
  return c;
}

// The polynomial keeps small arguments exact to an ulp (adapters' tanh does not); exp cannot overflow in the other branch.
fn tanh_accurate(x: Element) -> Element {
  let q = x * x;
  let small = ((((-5.70498872745e-3 * q + 2.06390887954e-2) * q - 5.37397155531e-2) * q + 1.33314422036e-1) * q - 3.33332819422e-1) * q * x + x;
  let large = sign(x) * (1.0 - 2.0 / (exp(2.0 * min(abs(x), Element(20.0))) + 1.0));
  return select(large, small, abs(x) < Element(0.625));
}

@compute @workgroup_size(LANES_X, LANES_Y)
fn lm_head_backward(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) lane: vec3u,
) {
  let row = (workgroup.y + workgroup.z * grid.y) * LANES_Y + lane.y;
  // No barrier follows: lanes past the end may leave.
  if (row >= params.rows) { return; }
  let at = params.row_offset + row;
  let row_lse = lse[at];
  let row_entropy = entropy[at];
  let da = select(0.0, dlse[at], (params.present & HAS_DLSE) != 0u);
  let db = select(0.0, dentropy[at], (params.present & HAS_DENTROPY) != 0u);
  let label = labels[at];
  // Without a label the log-prob is the constant 0.
  let dg = select(0.0, dlogprob[at], (params.present & HAS_DLOGPROB) != 0u && label < params.cols * WIDTH);
  let first = workgroup.x * LANES_X * COLS + lane.x;
  let end = min(first + LANES_X * COLS, params.cols);
  for (var c = first; c < end; c += LANES_X) {
    let i = row * params.stride + c;
    let logit = logits[i];
    var z = logit * params.inverse_temperature;
    var slope = Element(params.inverse_temperature);
    if (SOFTCAP) {
      let t = tanh_accurate(logit / params.softcap);
      z = params.softcap * t * params.inverse_temperature;
      slope *= 1.0 - t * t;
    }
    let log_p = z - row_lse;
    let at_label = select(Element(), Element(dg), columns_of(c) == Columns(label));
    let dz = exp(log_p) * (da - dg - db * (log_p + row_entropy)) + at_label;
    logits[i] = dz * slope;
  }
}
