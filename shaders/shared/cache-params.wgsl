// The uniform of the kernels of attention over a cache [S, T, 2·Hkv·D]: offsets and strides in elements.
struct Params {
  rows: u32,
  slots: u32,
  positions: u32,
  heads: u32,
  kv_heads: u32,
  head_dim: u32,
  window: u32,
  qkv_offset: u32,
  qkv_stride: u32,
  // Positions are cut into so many spans of so many positions; one span where the kernel has no such cut.
  spans: u32,
  span: u32,
  scale: f32,
  softcap: f32,
}
