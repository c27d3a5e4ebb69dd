// & and | in the place of && and ||: SwiftShader's compiler does not end on sixteen of these branches in one loop.
fn sees(query: u32, query_depth: u32, key: u32, key_end: u32, key_depth: u32) -> bool {
  return (key <= query) & (query < key_end) & (!HAS_WINDOW | (query_depth - key_depth < params.window));
}
