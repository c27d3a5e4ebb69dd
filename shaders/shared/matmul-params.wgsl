// The uniform of every product: sizes, strides and offsets in elements, for a batch of two levels.
struct Params {
  m: u32, n: u32, k: u32, batch: u32,
  a_row: u32, a_k: u32, b_k: u32, b_col: u32,
  c_row: u32, batch_inner: u32, offset_a: u32, offset_b: u32,
  offset_c: u32, outer_a: u32, outer_b: u32, outer_c: u32,
  inner_a: u32, inner_b: u32, inner_c: u32,
}
