// norm-weight-gradient.wgsl — weight and bias gradients of both norms, as one partial sum per block of rows.
//
// Formula   dweight[b,c] = Σ_{row in block b} dy · (s - m) · r;  dbias[b,c] = Σ_{row in block b} dy   (rms: m = 0, no dbias)
// Shapes    dy: [rows, cols]; s: view of [rows, cols], groups of s_group rows lie s_stride apart; stats: [rows, 2] = (m, r), for rms [rows] = r;
//           partials: [blocks, 2, cols] (dweight, dbias), for rms [blocks, cols]. Params count Elements (WIDTH numbers)
// Bindings  group(0)  0 params uniform · 1 dy read · 2 s read · 3 stats read · 4 partials read_write
// Dispatch  norm_weight_gradient: (ceil(cols / LANES), blocks, 1), blocks ≤ 65,535, for both classes of adapter:
//           a lane owns its columns, so no lane waits for another
// Numerics  rows of a block are added in order in f32; column-sum.wgsl then adds the blocks: two levels, no atomics
// Source    Ba, Kiros & Hinton 2016, arXiv:1607.06450 and Zhang & Sennrich 2019, arXiv:1910.07467, differentiated

// Numbers an Element holds. Cols, strides or offsets not divisible by 4: Element = f32, WIDTH = 1.
const WIDTH: u32 = 4u;
alias Element = vec4f;
const LANES: u32 = 8u;
// Layer norm: with a mean and a bias.
const CENTERED: bool = true;

struct Params {
  rows: u32,
  cols: u32,
  s_offset: u32,
  s_stride: u32,
  s_group: u32,
  rows_per_block: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<Element>;
@group(0) @binding(2) var<storage, read> s: array<Element>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<Element>;

@compute @workgroup_size(LANES)
fn norm_weight_gradient(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = group.x * LANES + lane;
  let cols = params.cols;
  if (c >= cols) {
    return;
  }
  let from_row = group.y * params.rows_per_block;
  let to_row = min(from_row + params.rows_per_block, params.rows);
  var dweight = Element(0);
  var dbias = Element(0);
  // The row's place in its group and in s, counted instead of divided: a division costs as much as the loads.
  var member = from_row % params.s_group;
  var s_at = params.s_offset + (from_row / params.s_group) * params.s_stride + member * cols + c;
  for (var row = from_row; row < to_row; row++) {
    let d = dy[row * cols + c];
    if (CENTERED) {
      dweight += d * ((s[s_at] - stats[2u * row]) * stats[2u * row + 1u]);
      dbias += d;
    } else {
      dweight += d * (s[s_at] * stats[row]);
    }
    member++;
    s_at += cols;
    if (member == params.s_group) {
      member = 0u;
      s_at += params.s_stride - params.s_group * cols;
    }
  }
  if (CENTERED) {
    partials[(2u * group.y) * cols + c] = dweight;
    partials[(2u * group.y + 1u) * cols + c] = dbias;
  } else {
    partials[group.y * cols + c] = dweight;
  }
}
