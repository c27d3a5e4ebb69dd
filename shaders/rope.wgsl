// rope.wgsl — rotary position embedding of queries or keys, forward (sign = 1) and backward (sign = -1).
//
// Formula   (a, b) → scale · (a cos φ - b sin φ, b cos φ + a sin φ),  φ = sign · position · frequency[pair]
//           half-split: a = x[i], b = x[i + R/2];  interleaved: a = x[2i], b = x[2i+1];  i < R/2; beyond R, and in
//           heads from turned_heads on: copied
// Shapes    x, y: [tokens, heads, head_size], heads contiguous, tokens a stride apart; positions: [tokens] u32;
//           frequencies: [2, R/2] u32, fractions of a turn per position in 64 bits: high words, then low words.
//           Params count Elements (WIDTH numbers, so pairs = R / 2 / WIDTH)
// Bindings  group(0)  0 params uniform · 1 x read · 2 positions read · 3 frequencies read · 4 y read_write
// Dispatch  rope: lanes = tokens · (head_size - pairs), LANES a workgroup, folded over x and y; z = ceil(heads / heads_per_lane);
//           for both classes of adapter: lanes share nothing but the frequencies
// Numerics  position · frequency wraps modulo one turn in integers, so no position is too large; sin and cos are polynomials
//           on an eighth of a turn: |error| < 3e-7 at any position (f32 angles: 2e-3 at 32,768; WGSL's own sin: 2^-11)
// Source    Su et al. 2021, arXiv:2104.09864, §3.2.2, eq. 34; polynomials: Cephes sinf, cosf (Moshier)

// Numbers an Element holds; Turns and Signed are as wide. R/2, head_size, strides or offsets not divisible by 4: 1, f32, u32,
// i32, and even, odd, low, high return their first, second, first, second argument.
const WIDTH: u32 = 4u;
alias Element = vec4f;
alias Turns = vec4u;
alias Signed = vec4i;
const LANES: u32 = 8u;
const INTERLEAVED: bool = false;

const RADIANS: f32 = 1.4629180792671596e-9; // 2π / 2³²

struct Params {
  tokens: u32,
  heads: u32,
  head_size: u32,
  pairs: u32,
  x_offset: u32,
  x_stride: u32,
  y_offset: u32,
  y_stride: u32,
  heads_per_lane: u32,
  turned_heads: u32,
  sign: f32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read> frequencies: array<Turns>;
@group(0) @binding(4) var<storage, read_write> y: array<Element>;

// The numbers at even and at odd places of two neighbouring Elements, and back.
fn even(first: Element, second: Element) -> Element {
  return vec4f(first.xz, second.xz);
}

fn odd(first: Element, second: Element) -> Element {
  return vec4f(first.yw, second.yw);
}

fn low(evens: Element, odds: Element) -> Element {
  return vec4f(evens.x, odds.x, evens.y, odds.y);
}

fn high(evens: Element, odds: Element) -> Element {
  return vec4f(evens.z, odds.z, evens.w, odds.w);
}

// position · frequency modulo one turn, in 2^-32 turns. The low words' product is needed only in its upper half, and there
// to a few units: 2^-30 turns.
fn turns_at(position: u32, pair: u32) -> Turns {
  let coarse = frequencies[pair];
  let fine = frequencies[params.pairs + pair];
  let upper = fine >> Turns(16u);
  let lower = fine & Turns(0xffffu);
  let p_upper = position >> 16u;
  let p_lower = position & 0xffffu;
  return position * coarse + p_upper * upper + ((p_lower * upper) >> Turns(16u)) + ((p_upper * lower) >> Turns(16u));
}

@compute @workgroup_size(LANES)
fn rope(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let pairs = params.pairs;
  let units = params.head_size - pairs;
  let index = (group.x + group.y * groups.x) * LANES + lane;
  let token = index / units;
  let unit = index % units;
  if (token >= params.tokens) {
    return;
  }
  let from_head = group.z * params.heads_per_lane;
  let to_head = min(from_head + params.heads_per_lane, params.heads);
  let x_token = params.x_offset + token * params.x_stride;
  let y_token = params.y_offset + token * params.y_stride;
  if (unit >= pairs) {
    for (var head = from_head; head < to_head; head++) {
      let at = head * params.head_size + pairs + unit;
      y[y_token + at] = x[x_token + at];
    }
    return;
  }

  // Nearest quarter of a turn, and what is left of it: within an eighth of a turn.
  let turns = turns_at(positions[token], unit);
  let quarter = (turns + Turns(0x20000000u)) >> Turns(30u);
  let angle = Element(bitcast<Signed>(turns - (quarter << Turns(30u)))) * RADIANS;
  let square = angle * angle;
  let sine = angle + angle * square * (-1.6666654611e-1 + square * (8.3321608736e-3 + square * -1.9515295891e-4));
  let cosine = 1.0 - 0.5 * square
    + square * square * (4.166664568298827e-2 + square * (-1.388731625493765e-3 + square * 2.443315711809948e-5));
  let is_swapped = (quarter & Turns(1u)) != Turns(0u);
  let cos_sign = select(Element(1), Element(-1), ((quarter + Turns(1u)) & Turns(2u)) != Turns(0u));
  let sin_sign = select(Element(1), Element(-1), (quarter & Turns(2u)) != Turns(0u));
  let cos_turn = params.scale * cos_sign * select(cosine, sine, is_swapped);
  let sin_turn = params.scale * params.sign * sin_sign * select(sine, cosine, is_swapped);

  // All turned heads of a token turn alike: the angle is worked out once.
  let to_turned = min(to_head, params.turned_heads);
  let first_at = select(unit, 2u * unit, INTERLEAVED);
  let second_at = select(unit + pairs, 2u * unit + 1u, INTERLEAVED);
  for (var head = from_head; head < to_turned; head++) {
    let at = head * params.head_size;
    let first = x[x_token + at + first_at];
    let second = x[x_token + at + second_at];
    if (INTERLEAVED) {
      let a = even(first, second);
      let b = odd(first, second);
      let turned_a = a * cos_turn - b * sin_turn;
      let turned_b = b * cos_turn + a * sin_turn;
      y[y_token + at + first_at] = low(turned_a, turned_b);
      y[y_token + at + second_at] = high(turned_a, turned_b);
    } else {
      y[y_token + at + first_at] = first * cos_turn - second * sin_turn;
      y[y_token + at + second_at] = second * cos_turn + first * sin_turn;
    }
  }
  for (var head = max(from_head, to_turned); head < to_head; head++) {
    let at = head * params.head_size;
    y[y_token + at + first_at] = x[x_token + at + first_at];
    y[y_token + at + second_at] = x[x_token + at + second_at];
  }
}
