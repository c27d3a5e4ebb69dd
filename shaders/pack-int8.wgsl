// pack-int8.wgsl — a flat f32 vector as int8 with a scale for each block of 256, and what that loses for the next time.
//
// Formula   x = source + residual; scale = max|x| / 127 over the block; q = round(x / scale), ties to even, 0 where scale is 0;
//           residual' = x - q · scale
// Shapes    source, residual [count] f32; packed [ceil(count / 256) · 65 words at most] u32: of each block the scale, then 4 elements a
//           word, the first in the lowest byte; blocks from first to before last are packed, and the last one of the vector may be short by
//           multiples of 64
// Bindings  group(0)  0 params uniform · 1 source read · 2 residual read_write · 3 packed read_write
// Dispatch  pack_int8: ceil((last - first) / 8) workgroups of 8, a lane a block; pack_int8_workgroup: last - first of 64, a workgroup a
//           block; both folded over x and y
// Numerics  f32; division and the product may be off by an ulp, which moves ties only; a block with NaN or infinity has a NaN for
//           its scale, and its residual is no use
// Source    error feedback: Seide et al. 2014, Interspeech; Karimireddy et al. 2019, arXiv 1901.09847

// Four elements each.
const BLOCK: u32 = 64u;
const NAN_BITS: u32 = 0x7fc00000u;
const INFINITY_BITS: u32 = 0x7f800000u;

struct Params { first: u32, last: u32, count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> residual: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> packed: array<u32>;

var<workgroup> largest: array<u32, 64>;

// Of the magnitudes, as patterns: these are ordered like the numbers, and NaN lies above them all.
fn magnitude(x: vec4f) -> u32 {
  let bits = bitcast<vec4u>(x) & vec4u(0x7fffffffu);
  return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

// Of what is packed; arithmetic may lose what is no number, so it is looked for in the source.
fn magnitude_at(i: u32) -> u32 {
  return select(magnitude(source[i] + residual[i]), INFINITY_BITS, magnitude(source[i]) >= INFINITY_BITS);
}

// Put down as it is, even if it is no number.
fn scale_bits(most: u32) -> u32 {
  return select(bitcast<u32>(bitcast<f32>(most) / 127.0), NAN_BITS, most >= INFINITY_BITS);
}

fn quantize(at: u32, i: u32, scale: f32) {
  let x = source[i] + residual[i];
  var q = vec4f(0.0);
  if (scale > 0.0) { q = clamp(round(x / scale), vec4f(-127.0), vec4f(127.0)); }
  residual[i] = x - q * scale;
  let bytes = vec4u(vec4i(q)) & vec4u(0xffu);
  packed[at] = bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}

@compute @workgroup_size(8)
fn pack_int8(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = params.first + (workgroup.x + workgroup.y * grid.x) * 8u + lane;
  // No barrier follows: lanes past the end may leave.
  if (block >= params.last) { return; }
  let first = block * BLOCK;
  let end = min(first + BLOCK, params.count);
  var most = 0u;
  for (var i = first; i < end; i++) {
    most = max(most, magnitude_at(i));
  }
  let at = block * (BLOCK + 1u);
  let bits = scale_bits(most);
  packed[at] = bits;
  let scale = select(bitcast<f32>(bits), 0.0, most >= INFINITY_BITS);
  for (var i = first; i < end; i++) {
    quantize(at + 1u + i - first, i, scale);
  }
}

@compute @workgroup_size(64)
fn pack_int8_workgroup(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = params.first + workgroup.x + workgroup.y * grid.x;
  let i = block * BLOCK + lane;
  let is_in = block < params.last && i < params.count;
  largest[lane] = 0u;
  if (is_in) { largest[lane] = magnitude_at(i); }
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (lane < half) { largest[lane] = max(largest[lane], largest[lane + half]); }
    workgroupBarrier();
  }
  let bits = scale_bits(largest[0]);
  let at = block * (BLOCK + 1u);
  if (lane == 0u && block < params.last) { packed[at] = bits; }
  let scale = select(bitcast<f32>(bits), 0.0, largest[0] >= INFINITY_BITS);
  if (is_in) { quantize(at + 1u + lane, i, scale); }
}
