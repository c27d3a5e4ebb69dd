// cache-copy.wgsl — the first positions of slots of a cache into other slots of it.
//
// Formula   cache[destinations[p], t] = cache[sources[p], t] for t < lengths[p]
// Shapes    sources, destinations, lengths: [P] u32; cache: [S, T, 2·Hkv·D]. Nothing is copied from or to slots beyond S; no
//           destination may be a source or come twice
// Bindings  group(0)  0 params uniform · 1 sources read · 2 destinations read · 3 lengths read · 4 cache read_write
// Dispatch  SHARES workgroups of 64 share out the vectors of a pair: (SHARES, pairs folded over y and z)
// Numerics  moved
// Source    copying a prefix that several sequences share: Kwon et al. 2023, arXiv:2309.06180, §4.4

// Four numbers of a cache. f16: vec2<u32>.
alias Element = vec4<f32>;

struct Params {
  pairs: u32,
  slots: u32,
  positions: u32,
  // Elements of a position.
  width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sources: array<u32>;
@group(0) @binding(2) var<storage, read> destinations: array<u32>;
@group(0) @binding(3) var<storage, read> lengths: array<u32>;
@group(0) @binding(4) var<storage, read_write> cache: array<Element>;

@compute @workgroup_size(64)
fn cache_copy(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let pair = group.y + group.z * groups.y;
  if (pair >= params.pairs) {
    return;
  }
  let source = sources[pair];
  let destination = destinations[pair];
  if (max(source, destination) >= params.slots || source == destination) {
    return;
  }
  let size = params.positions * params.width;
  let count = min(lengths[pair], params.positions) * params.width;
  for (var i = group.x * 64u + lane; i < count; i += groups.x * 64u) {
    cache[destination * size + i] = cache[source * size + i];
  }
}
