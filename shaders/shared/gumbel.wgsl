// [0, 1) in steps of 2^-24: exact in f32.
fn uniform_from_bits(bits: u32) -> f32 {
  return f32(bits >> 8u) * 5.9604644775390625e-8;
}

// (0, 1): from 2^-33, finely spaced where small, to 1 - 2^-24 (the sum of the two parts may round up to 1).
fn open_unit_from_bits(bits: u32) -> f32 {
  return min(uniform_from_bits(bits) + (f32(bits & 0xffu) + 0.5) * 2.3283064365386963e-10, 0.99999994);
}

// -log(x) for x in (0, 1), where rest = 1 - x is known better than x. An adapter's log is not relative to its result near
// x = 1; there log is 2 artanh, by its series.
fn minus_log_unit(x: f32, rest: f32) -> f32 {
  let s = rest / (1.0 + x);
  let q = s * s;
  let series = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0 + q / 15.0))))));
  return select(-log(x), 2.0 * s * series, x > 0.5);
}

// Standard Gumbel: finely spaced where it is large.
fn gumbel_from_bits(bits: u32) -> f32 {
  let u = open_unit_from_bits(bits);
  return -log(minus_log_unit(1.0 - u, u));
}
