// Blocks of 4 × 4 elements on their way from memory into the tiles.
struct Block { q: u32, k: u32 }

// Position of a 4 × 4 block in its tile. Neighbouring threads take neighbouring memory.
fn block_a(at: u32) -> Block {
  if (A_ALONG_K) {
    return Block(at / LINE_K, at % LINE_K * 4u);
  }
  return Block(at % LINE_M, at / LINE_M * 4u);
}

fn block_b(at: u32) -> Block {
  if (B_ALONG_K) {
    return Block(at / LINE_K, at % LINE_K * 4u);
  }
  return Block(at % LINE_N, at / LINE_N * 4u);
}

fn fetch(at: u32, row0: u32, col0: u32, k0: u32) -> mat4x4f {
  if (at < BLOCKS_A) {
    let block = block_a(at);
    return load_a(row0 + block.q * 4u, k0 + block.k);
  }
  let block = block_b(at - BLOCKS_A);
  return load_b(col0 + block.q * 4u, k0 + block.k);
}

fn put(at: u32, lines: mat4x4f) {
  if (at < BLOCKS_A) {
    let block = block_a(at);
    let to = block.k * LINE_M + place(block.k, block.q);
    #for i in 0..4
    tile_a[to + ${i}u * LINE_M] = lines[${i}];
    #end
  } else {
    let block = block_b(at - BLOCKS_A);
    let to = block.k * LINE_N + place(block.k, block.q);
    #for i in 0..4
    tile_b[to + ${i}u * LINE_N] = lines[${i}];
    #end
  }
}
