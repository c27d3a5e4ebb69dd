// lm-head.wgsl — log-probability of a label, log-sum-exp and entropy of each row of logits (forward).
//
// Formula   z = cap(l) / temperature, cap(l) = softcap · tanh(l / softcap) or l; lse = log Σ_c exp(z_c); p = exp(z - lse)
//           logprob = z_label - lse, 0 without a label;  entropy = -Σ_c p_c · log p_c = lse - Σ_c p_c · z_c
// Shapes    logits [rows, stride >= cols] f32, a chunk; labels u32 and logprob, lse, entropy f32 [row_offset + rows or more]:
//           row r of the chunk is row row_offset + r there; a label >= cols (0xffffffff) is none
// Bindings  group(0)  0 params uniform · 1 logits read · 2 labels read · 3 logprob read_write · 4 lse read_write · 5 entropy read_write
// Dispatch  lm_head_forward: ceil(rows / 8) workgroups of 8, a lane a row; lm_head_forward_workgroup: a workgroup of 256 a row;
//           both folded over x and y
// Numerics  f32 always; one pass keeps m = max, s = Σ exp(z - m), w = Σ exp(z - m) · (z - m), rescaled when m grows; sums in blocks,
//           so that 200,000 columns cost no digits; logprob = (z_label - m) - log s and entropy = log s - w / s do not cancel
// Source    Milakov & Gimelshein 2018, arXiv:1805.02867, §3 (online normalizer); softcap as in Gemma 2, arXiv:2408.00118, §2

// True where Params.softcap > 0; a constant, since a CPU driver computes both sides of a branch.
const SOFTCAP: bool = false;
// Columns that a lane takes at once, and columns to a partial sum.
const BLOCK: u32 = 16u;
const PARTIAL: u32 = 1024u;
const WORKGROUP_SIZE: u32 = 256u;

struct Params { rows: u32, cols: u32, stride: u32, row_offset: u32, softcap: f32, inverse_temperature: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> logprob: array<f32>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;
@group(0) @binding(5) var<storage, read_write> entropy: array<f32>;

// m = max, s = Σ exp(z - m), w = Σ exp(z - m) · (z - m) over the columns seen so far.
struct Running { m: f32, s: f32, w: f32 }

var<workgroup> shared_running: array<Running, WORKGROUP_SIZE>;

// The polynomial keeps small arguments exact to an ulp (adapters' tanh does not); exp cannot overflow in the other branch.
fn tanh_accurate(x: f32) -> f32 {
  let q = x * x;
  let small = ((((-5.70498872745e-3 * q + 2.06390887954e-2) * q - 5.37397155531e-2) * q + 1.33314422036e-1) * q - 3.33332819422e-1) * q * x + x;
  let large = sign(x) * (1.0 - 2.0 / (exp(2.0 * min(abs(x), 20.0)) + 1.0));
  return select(large, small, abs(x) < 0.625);
}

fn score(logit: f32) -> f32 {
  if (SOFTCAP) {
    return params.softcap * tanh_accurate(logit / params.softcap) * params.inverse_temperature;
  }
  return logit * params.inverse_temperature;
}

// The same sums relative to a new maximum m >= running.m.
fn rescale(running: Running, m: f32) -> Running {
  let shift = running.m - m;
  let scale = exp(shift);
  return Running(m, running.s * scale, scale * (running.w + running.s * shift));
}

fn merge(a: Running, b: Running) -> Running {
  let m = max(a.m, b.m);
  let x = rescale(a, m);
  let y = rescale(b, m);
  return Running(m, x.s + y.s, x.w + y.w);
}

fn absorb(running: Running, z: f32) -> Running {
  return merge(running, Running(z, 1.0, 0.0));
}

fn write_row(row: u32, running: Running) {
  let at = params.row_offset + row;
  let log_s = log(running.s);
  let label = labels[at];
  let has_label = label < params.cols;
  // The load is in bounds with or without a label.
  let z = score(logits[row * params.stride + select(0u, label, has_label)]);
  logprob[at] = select(0.0, (z - running.m) - log_s, has_label);
  lse[at] = running.m + log_s;
  entropy[at] = log_s - running.w / running.s;
}

@compute @workgroup_size(8)
fn lm_head_forward(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (workgroup.x + workgroup.y * grid.x) * 8u + lane;
  // No barrier follows: lanes past the end may leave.
  if (row >= params.rows) { return; }
  let start = row * params.stride;
  let whole = params.cols / BLOCK * BLOCK;
  var m = score(logits[start]);
  var s = 0.0;
  var w = 0.0;
  for (var part = 0u; part < whole; part += PARTIAL) {
    var part_s = 0.0;
    var part_w = 0.0;
    let end = min(part + PARTIAL, whole);
    for (var c = part; c < end; c += BLOCK) {
      var top = m;
      #for i in 0..BLOCK
      var z_${i} = score(logits[start + c + ${i}u]);
      top = max(top, z_${i});
      #end
      let shift = m - top;
      let scale = exp(shift);
      w = scale * (w + s * shift);
      s *= scale;
      part_w = scale * (part_w + part_s * shift);
      part_s *= scale;
      m = top;
      var block_s = 0.0;
      var block_w = 0.0;
      #for i in 0..BLOCK
      z_${i} -= m;
      let e_${i} = exp(z_${i});
      block_s += e_${i};
      block_w += e_${i} * z_${i};
      #end
      part_s += block_s;
      part_w += block_w;
    }
    s += part_s;
    w += part_w;
  }
  var running = Running(m, s, w);
  for (var c = whole; c < params.cols; c++) {
    running = absorb(running, score(logits[start + c]));
  }
  write_row(row, running);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn lm_head_forward_workgroup(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = workgroup.x + workgroup.y * grid.x;
  // Uniform across the workgroup: leaving before the barriers is legal.
  if (row >= params.rows) { return; }
  let start = row * params.stride;
  // Lanes beyond the row start from its first column with no weight, which changes nothing.
  var running = Running(score(logits[start]), 0.0, 0.0);
  var c = lane;
  for (; c + 3u * WORKGROUP_SIZE < params.cols; c += 4u * WORKGROUP_SIZE) {
    let z = vec4f(
      score(logits[start + c]),
      score(logits[start + c + WORKGROUP_SIZE]),
      score(logits[start + c + 2u * WORKGROUP_SIZE]),
      score(logits[start + c + 3u * WORKGROUP_SIZE]),
    );
    running = rescale(running, max(running.m, max(max(z.x, z.y), max(z.z, z.w))));
    let shifted = z - running.m;
    let e = exp(shifted);
    running.s += (e.x + e.y) + (e.z + e.w);
    running.w += dot(e, shifted);
  }
  for (; c < params.cols; c += WORKGROUP_SIZE) {
    running = absorb(running, score(logits[start + c]));
  }
  shared_running[lane] = running;
  for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
    // Publishes the sums of the level before.
    workgroupBarrier();
    if (lane < half) { shared_running[lane] = merge(shared_running[lane], shared_running[lane + half]); }
  }
  if (lane == 0u) { write_row(row, shared_running[0]); }
}
