// The first position that a row at this one sees.
fn first_seen(position: u32) -> u32 {
  if (HAS_WINDOW) {
    return max(position + 1u, params.window) - params.window;
  }
  return 0u;
}
