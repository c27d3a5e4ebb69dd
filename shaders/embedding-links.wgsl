// embedding-links.wgsl — where each token id occurs next, and whether it occurred before.
//
// Formula   next[t] = min { s > t : ids[s] = ids[t] }, or T when there is none; first[t] = 1 when no s < t has ids[s] = ids[t], else 0
// Shapes    ids [T] u32; links [2, T] u32: next in row 0, first in row 1
// Bindings  group(0)  0 params uniform · 1 ids read · 2 links read_write
// Dispatch  embedding_links: ceil(T / (8 · OWN)) workgroups of 8; embedding_links_workgroup: ceil(T / 64) workgroups of 64
// Numerics  integers, exact; independent of the order of lanes
// Source    all pairs compared: T² integer comparisons cost less than a sort of [T] until T is far above 100,000

// Positions a lane of embedding_links owns: one load of an id serves OWN comparisons (loads are what a CPU driver pays for).
const OWN: u32 = 8u;
// Ids staged at a time by embedding_links_workgroup, as vec4s.
const TILE: u32 = 64u;

struct Params { tokens: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> links: array<u32>;

var<workgroup> tile: array<vec4u, TILE>;

// Loads past the end are clamped; their positions are never taken for a match.
fn id_at(t: u32) -> u32 {
  return ids[min(t, params.tokens - 1u)];
}

@compute @workgroup_size(8)
fn embedding_links(@builtin(global_invocation_id) lane: vec3u) {
  let tokens = params.tokens;
  let base = lane.x * OWN;
  if (base >= tokens) { return; }
  #for k in 0..OWN
  let id_${k} = id_at(base + ${k}u);
  var next_${k} = tokens;
  var earlier_${k} = false;
  #end
  for (var s = 0u; s < base; s++) {
    let id = ids[s];
    #for k in 0..OWN
    earlier_${k} = earlier_${k} || id == id_${k};
    #end
  }
  // Downwards, so that the last match taken is the nearest one.
  for (var s = tokens - 1u; s >= base + OWN; s--) {
    let id = ids[s];
    #for k in 0..OWN
    next_${k} = select(next_${k}, s, id == id_${k});
    #end
  }
  #for k in 0..OWN
  #for j in 1..OWN - k
  next_${OWN - 1 - k - j} = select(next_${OWN - 1 - k - j}, base + ${OWN - 1 - k}u, id_${OWN - 1 - k - j} == id_${OWN - 1 - k} && base + ${OWN - 1 - k}u < tokens);
  earlier_${OWN - 1 - k} = earlier_${OWN - 1 - k} || id_${OWN - 1 - k} == id_${OWN - 1 - k - j};
  #end
  #end
  #for k in 0..OWN
  if (base + ${k}u < tokens) {
    links[base + ${k}u] = next_${k};
    links[tokens + base + ${k}u] = select(1u, 0u, earlier_${k});
  }
  #end
}

@compute @workgroup_size(64)
fn embedding_links_workgroup(
  @builtin(global_invocation_id) lane: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let tokens = params.tokens;
  let t = lane.x;
  let id = id_at(t);
  var next = tokens;
  var earlier = false;
  let tiles = (tokens + 4u * TILE - 1u) / (4u * TILE);
  // Downwards, so that the last match taken is the nearest one. Lanes past the end stay for the barriers.
  for (var i = 0u; i < tiles; i++) {
    let start = (tiles - 1u - i) * 4u * TILE;
    for (var k = local; k < TILE; k += 64u) {
      let s = start + 4u * k;
      tile[k] = vec4u(id_at(s), id_at(s + 1u), id_at(s + 2u), id_at(s + 3u));
    }
    // Publishes the tile.
    workgroupBarrier();
    for (var k = 0u; k < TILE; k++) {
      let s = start + 4u * (TILE - 1u - k);
      let hit = tile[TILE - 1u - k] == vec4u(id);
      #for c in 0..4
      next = select(next, s + ${3 - c}u, hit[${3 - c}] && s + ${3 - c}u > t && s + ${3 - c}u < tokens);
      earlier = earlier || (hit[${3 - c}] && s + ${3 - c}u < t);
      #end
    }
    // Nobody overwrites the tile before all have read it.
    workgroupBarrier();
  }
  if (t < tokens) {
    links[t] = next;
    links[tokens + t] = select(1u, 0u, earlier);
  }
}
