  // The product of one workgroup's tile: row r of a thread's patch, columns v, ends in c<4r + i>_<v>.
  let tiles_n = (params.n + TILE_N - 1u) / TILE_N;
  let tiles_m = (params.m + TILE_M - 1u) / TILE_M;
  let id = group.x + group.y * groups.x;
  let batch = id / (tiles_n * tiles_m);
  // Uniform: the whole workgroup leaves.
  if (batch >= params.batch) {
    return;
  }
  let tile = id % (tiles_n * tiles_m);
  let first_row = tile / (GROUP_ROWS * tiles_n) * GROUP_ROWS;
  let group_rows = min(GROUP_ROWS, tiles_m - first_row);
  let in_group = tile % (GROUP_ROWS * tiles_n);
  let row0 = (first_row + in_group % group_rows) * TILE_M;
  let col0 = in_group / group_rows * TILE_N;
  let outer = batch / params.batch_inner;
  let inner = batch % params.batch_inner;
  base_a = params.offset_a + outer * params.outer_a + inner * params.inner_a;
  base_b = params.offset_b + outer * params.outer_b + inner * params.inner_b;
  base_c = params.offset_c + outer * params.outer_c + inner * params.inner_c;
  let thread_m = thread / THREADS_N;
  let thread_n = thread % THREADS_N;
  #for i in 0..4 * ROWS
  #for v in 0..COLUMNS
  var c${i}_${v} = vec4f();
  #end
  #end
  #for i in 0..BLOCKS_PER_THREAD
  var next${i} = mat4x4f();
  #end
  if (params.k > 0u) {
    #for i in 0..BLOCKS_PER_THREAD
    next${i} = fetch(thread + ${i}u * THREADS, row0, col0, 0u);
    #end
  }
  for (var k0 = 0u; k0 < params.k; k0 += TILE_K) {
    // The tile before this one has been read.
    workgroupBarrier();
    #for i in 0..BLOCKS_PER_THREAD
    put(thread + ${i}u * THREADS, next${i});
    #end
    // Publishes the tile.
    workgroupBarrier();
    #for i in 0..BLOCKS_PER_THREAD
    next${i} = fetch(thread + ${i}u * THREADS, row0, col0, k0 + TILE_K);
    #end
    for (var k = 0u; k < TILE_K; k++) {
      #for r in 0..ROWS
      let a${r} = tile_a[k * LINE_M + place(k, thread_m + ${r}u * THREADS_M)];
      #end
      #for v in 0..COLUMNS
      let b${v} = tile_b[k * LINE_N + place(k, thread_n + ${v}u * THREADS_N)];
      #end
      #for r in 0..ROWS
      #for v in 0..COLUMNS
      #for i in 0..4
      c${4 * r + i}_${v} += a${r}[${i}] * b${v};
      #end
      #end
      #end
    }
  }
