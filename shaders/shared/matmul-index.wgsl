// Where element (row, col) lies.
fn index_c(row: u32, col: u32) -> u32 {
  return base_c + row * params.c_row + col;
}
