// gated.wgsl — gated activations: SwiGLU, GEGLU (tanh form and exact form), forward and backward.
//
// Formula   out = act(gate) · up;  dgate = dout · up · act'(gate);  dup = dout · act(gate)
//           silu(v) = v · σ(v);  gelu_tanh(v) = v · σ(2 √(2/π) (v + 0.044715 v³));  gelu_erf(v) = v · Φ(v)
// Shapes    gate, up: views [rows, cols] with a row stride (often two halves of one packed matrix); dout: [rows, cols];
//           out: view [rows, cols]; backward: dgate and dup are two views of out. Params count Elements (WIDTH numbers)
// Bindings  group(0)  0 params uniform · 1 gate read · 2 up read · 3 dout read · 4 out read_write; forward: any readable
//           buffer stands in for dout
// Dispatch  gated, gated_backward: CHUNK Elements a lane, LANES lanes a workgroup, folded over x and y; for both
//           classes of adapter: 16 and 8 on a CPU behind the API, 1 and 256 on hardware, where neighbours load together
// Numerics  σ by exp(-|v|): nothing overflows; erf within 1.5e-7
// Source    Shazeer 2020, arXiv:2002.05202, §2; Hendrycks & Gimpel 2016, arXiv:1606.08415, §2; erf: Abramowitz & Stegun 7.1.26

// Numbers an Element holds. Cols, strides or offsets not divisible by 4: Element = f32, WIDTH = 1.
const WIDTH: u32 = 4u;
alias Element = vec4f;
const LANES: u32 = 256u;
// Elements that follow each other and that one lane takes.
const CHUNK: u32 = 1u;
// SILU, GELU_TANH or GELU_ERF.
const ACTIVATION: u32 = 0u;

const SILU: u32 = 0u;
const GELU_TANH: u32 = 1u;
const GELU_ERF: u32 = 2u;
const TWO_SQRT_2_OVER_PI: f32 = 1.5957691216057308;
const GELU_CUBIC: f32 = 0.044715;
const SQRT_HALF: f32 = 0.7071067811865476;
const ONE_OVER_SQRT_2PI: f32 = 0.3989422804014327;

struct Params {
  rows: u32,
  cols: u32,
  gate_offset: u32,
  gate_stride: u32,
  up_offset: u32,
  up_stride: u32,
  out_offset: u32,
  out_stride: u32,
  dup_offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate: array<Element>;
@group(0) @binding(2) var<storage, read> up: array<Element>;
@group(0) @binding(3) var<storage, read> dout: array<Element>;
@group(0) @binding(4) var<storage, read_write> out: array<Element>;

struct Activation {
  value: Element,
  slope: Element,
}

// v · p(v), where p is a probability: σ of something, or Φ. `rest` is 1 - p, computed without cancellation.
fn activate(v: Element) -> Activation {
  if (ACTIVATION == GELU_ERF) {
    let t = 1.0 / (1.0 + 0.3275911 * SQRT_HALF * abs(v));
    let bell = exp(-0.5 * v * v);
    // erfc(|v| / √2) / 2: the smaller of the two tails.
    let tail = 0.5 * bell * t
      * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    let p = select(1.0 - tail, tail, v < Element(0));
    return Activation(v * p, p + v * ONE_OVER_SQRT_2PI * bell);
  }
  var inner = v;
  var inner_slope = Element(1);
  if (ACTIVATION == GELU_TANH) {
    inner = TWO_SQRT_2_OVER_PI * (v + GELU_CUBIC * v * v * v);
    inner_slope = TWO_SQRT_2_OVER_PI * (1.0 + 3.0 * GELU_CUBIC * v * v);
  }
  let e = exp(-abs(inner));
  let larger = 1.0 / (1.0 + e);
  let smaller = e * larger;
  let p = select(larger, smaller, inner < Element(0));
  return Activation(v * p, p + v * inner_slope * larger * smaller);
}

fn forward_at(row: u32, c: u32) {
  let act = activate(gate[params.gate_offset + row * params.gate_stride + c]);
  let u = up[params.up_offset + row * params.up_stride + c];
  out[params.out_offset + row * params.out_stride + c] = act.value * u;
}

fn backward_at(row: u32, c: u32) {
  let act = activate(gate[params.gate_offset + row * params.gate_stride + c]);
  let u = up[params.up_offset + row * params.up_stride + c];
  let d = dout[row * params.cols + c];
  let out_at = row * params.out_stride + c;
  out[params.out_offset + out_at] = d * u * act.slope;
  out[params.dup_offset + out_at] = d * act.value;
}

@compute @workgroup_size(LANES)
fn gated(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = ((group.x + group.y * groups.x) * LANES + lane) * CHUNK;
  // No constant bound, which the driver would unroll. One division a chunk: the place moves on by counting.
  let end = min(first + CHUNK, params.rows * params.cols);
  var row = first / params.cols;
  var c = first % params.cols;
  for (var i = first; i < end; i++) {
    forward_at(row, c);
    c++;
    if (c == params.cols) {
      c = 0u;
      row++;
    }
  }
}

@compute @workgroup_size(LANES)
fn gated_backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = ((group.x + group.y * groups.x) * LANES + lane) * CHUNK;
  let end = min(first + CHUNK, params.rows * params.cols);
  var row = first / params.cols;
  var c = first % params.cols;
  for (var i = first; i < end; i++) {
    backward_at(row, c);
    c++;
    if (c == params.cols) {
      c = 0u;
      row++;
    }
  }
}
