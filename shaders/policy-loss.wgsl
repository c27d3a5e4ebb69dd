// policy-loss.wgsl — losses of a policy over packed sequences, its distance from a reference, and the slopes of both.
//
// Formula   of a token with w = weight ≠ 0: f = w · importance, A = advantage, δ = logprob - old, r = exp(δ);
//           clip: max(-A · min(r, delta), -A · clamp(r, low, high)), for A < 0 at most -A · dual;
//           weighted: -keep · clamp(r, floor, cap) · A · logprob, of which only logprob has a slope; keep = 0 where A > 0 and
//           r > trust_high, where A < 0 and r < trust_low, and where p - p_old > distance in the direction of A;
//           gate: -A · 4/τ · σ(τ · (r - 1)), τ by the sign of A;  ratio: -keep · A · r + kl_tau · δ², keep = 0 beyond the distance;
//           sequence: clip with one r for all tokens, exp(Σ δ / L) or exp(Σ δ);
//           geometric: -mean(A) · exp(mean of s · min(s · δ, bound)), s = sign(A), for all tokens;
//           sums[i] = (Σ f · term, Σ w · kl) with kl = x, x²/2, exp(-x) + x - 1 (k3), |x| or r · k3 of x = logprob - reference
// Shapes    logprobs [tokens]; rows [5, tokens]: old, advantage, weight, importance, reference; offsets [sequences + 1] u32:
//           sequence i is offsets[i]..offsets[i + 1]; sums [sequences] vec2f; slopes [2, tokens]: derivatives of both sums to
//           logprobs, 0 where weight = 0 and outside of sequences. Offsets that fall, or lie beyond the tokens: status
// Bindings  group(0)  0 params uniform · 1 logprobs read · 2 rows read · 3 offsets read · 4 sums read_write ·
//           5 slopes read_write · 6 status read_write
// Dispatch  policy_loss: one workgroup of WORKGROUP_SIZE a sequence; folded over x and y
// Numerics  f32; sums by lane, then in a fixed tree; logs of ratios (and -x of k3) are held to ±20, means of them to 10, without
//           slope beyond; k3 by its series for |x| < 1; what is not finite in a token that counts is in the sums and in its slope
// Source    as the fields of Params say; verl trainer/ppo/core_algos.py, TRL grpo_trainer.py, prime-rl (forms, clamps)

const WORKGROUP_SIZE: u32 = 256u;

// Values of Params.form; from SEQUENCE on, tokens of a sequence share a ratio.
const CLIP: u32 = 0u;
const WEIGHTED: u32 = 1u;
const GATE: u32 = 2u;
const SEQUENCE: u32 = 4u;
const GEOMETRIC: u32 = 5u;

// Values of Params.kl.
const NO_KL: u32 = 0u;
const K2: u32 = 2u;
const K3: u32 = 3u;
const ABSOLUTE: u32 = 4u;
const UNBIASED_K3: u32 = 5u;

const LOG_LIMIT: f32 = 20.0;
const FAULT: u32 = 0x40000001u;

struct Params {
  tokens: u32,
  sequences: u32,
  form: u32,
  kl: u32,
  // Not 0: kl has the slope of k2.
  is_straight_through: u32,
  // Clip: 1 - ε_low, 1 + ε_high (arXiv:1707.06347), c of the dual clip (arXiv:1912.09729), cap of the unclipped branch.
  low: f32,
  high: f32,
  dual: f32,
  delta: f32,
  // Weighted: CISPO and its unified mask (arXiv:2506.13585, eq. 4-7); REINFORCE, whose floor and cap are 1.
  floor: f32,
  cap: f32,
  trust_low: f32,
  trust_high: f32,
  // Weighted and ratio: DPPO-TV, prime-rl.
  distance: f32,
  kl_tau: f32,
  // Gate: SAPO (arXiv:2511.20347).
  tau_positive: f32,
  tau_negative: f32,
  // Sequence: GSPO (arXiv:2507.18071), and TRL's RLOO, which does not divide the sum of logs by the length.
  is_sum: u32,
  log_limit: f32,
  // Geometric: GMPO (arXiv:2507.20673); epsilon is added to lengths.
  bound: f32,
  epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logprobs: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> offsets: array<u32>;
@group(0) @binding(4) var<storage, read_write> sums: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> slopes: array<f32>;
@group(0) @binding(6) var<storage, read_write> status: atomic<u32>;

struct Token { logprob: f32, old: f32, advantage: f32, weight: f32, factor: f32 }
// A value and its derivative.
struct Term { value: f32, slope: f32 }

var<workgroup> partial: array<vec4f, WORKGROUP_SIZE>;

fn token_at(t: u32) -> Token {
  let weight = rows[2u * params.tokens + t];
  return Token(logprobs[t], rows[t], rows[params.tokens + t], weight, weight * rows[3u * params.tokens + t]);
}

// By bits, since WGSL may assume that there is no NaN.
fn is_finite(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) < 0x7f800000u;
}

// Not finite where one of a token's numbers is not: clamps would hide it.
fn check(token: Token) -> f32 {
  return token.logprob + token.old + token.advantage + token.factor;
}

fn exp_held(log: f32, most: f32) -> Term {
  let r = exp(clamp(log, -LOG_LIMIT, most));
  return Term(r, select(r, 0.0, log < -LOG_LIMIT || log > most));
}

fn clip_term(ratio: Term, a: f32) -> Term {
  let r = ratio.value;
  let free = Term(-a * min(r, params.delta), select(-a * ratio.slope, 0.0, r > params.delta));
  let is_inside = r >= params.low && r <= params.high;
  let held = Term(-a * clamp(r, params.low, params.high), select(0.0, -a * ratio.slope, is_inside));
  let is_held = held.value > free.value;
  let worse = Term(max(held.value, free.value), select(free.slope, held.slope, is_held));
  let most = -a * params.dual;
  let is_capped = a < 0.0 && worse.value > most;
  return Term(select(worse.value, most, is_capped), select(worse.slope, 0.0, is_capped));
}

fn gate_term(ratio: Term, a: f32) -> Term {
  let tau = select(params.tau_negative, params.tau_positive, a > 0.0);
  let e = exp(clamp(tau * (1.0 - ratio.value), -80.0, 80.0));
  let gate = 1.0 / (1.0 + e);
  // e · gate is 1 - gate without its cancellation.
  return Term(-a * 4.0 / tau * gate, -a * 4.0 * gate * (e * gate) * ratio.slope);
}

fn token_term(token: Token) -> Term {
  let a = token.advantage;
  let log_ratio = token.logprob - token.old;
  let ratio = exp_held(log_ratio, LOG_LIMIT);
  if (params.form == CLIP) {
    return clip_term(ratio, a);
  }
  if (params.form == GATE) {
    return gate_term(ratio, a);
  }
  let moved = exp_held(token.logprob, LOG_LIMIT).value - exp_held(token.old, LOG_LIMIT).value;
  let is_near = select(-moved, moved, a > 0.0) <= params.distance;
  if (params.form == WEIGHTED) {
    let is_beyond = (a > 0.0 && ratio.value > params.trust_high) || (a < 0.0 && ratio.value < params.trust_low);
    let slope = select(0.0, -a * clamp(ratio.value, params.floor, params.cap), is_near && !is_beyond);
    return Term(slope * token.logprob, slope);
  }
  let kept = select(0.0, a, is_near);
  let pull = params.kl_tau * log_ratio;
  return Term(pull * log_ratio - kept * ratio.value, 2.0 * pull - kept * ratio.slope);
}

// exp(y) - 1 - y. The series keeps the digits that the subtraction loses; its rest is below 1e-9 of the sum.
fn exp_rest(y: f32) -> f32 {
  let s9 = 1.0 + y / 9.0 * (1.0 + y / 10.0 * (1.0 + y / 11.0 * (1.0 + y / 12.0)));
  let s3 = 1.0 + y / 3.0 * (1.0 + y / 4.0 * (1.0 + y / 5.0 * (1.0 + y / 6.0 * (1.0 + y / 7.0 * (1.0 + y / 8.0 * s9)))));
  let direct = exp(clamp(y, -80.0, LOG_LIMIT)) - 1.0 - y;
  return select(direct, 0.5 * y * y * s3, abs(y) < 1.0);
}

fn kl_term(token: Token, reference: f32) -> Term {
  let x = token.logprob - reference;
  if (!is_finite(x)) {
    return Term(x, x);
  }
  var term = Term(x, 1.0);
  if (params.kl == K2) {
    term = Term(0.5 * x * x, x);
  } else if (params.kl == ABSOLUTE) {
    term = Term(abs(x), sign(x));
  } else if (params.kl == K3 || params.kl == UNBIASED_K3) {
    let held = max(x, -LOG_LIMIT);
    let k3 = exp_rest(-held);
    // 1 - exp(-x) = x - (exp(-x) - 1 + x)
    term = Term(k3, select(x - k3, 0.0, x < -LOG_LIMIT));
  }
  if (params.kl == UNBIASED_K3) {
    let ratio = exp_held(token.logprob - token.old, LOG_LIMIT);
    term = Term(ratio.value * term.value, ratio.slope * term.value + ratio.value * term.slope);
  }
  return Term(term.value, select(term.slope, x, params.is_straight_through != 0u));
}

// What sequence_term needs of a token: a log-ratio, 1, then by form f · A where A > 0 and f · |A| where A < 0, or A and f.
fn sequence_share(token: Token) -> vec4f {
  let checked = check(token);
  if (!is_finite(checked)) {
    return vec4f(checked);
  }
  let a = token.advantage;
  let log_ratio = token.logprob - token.old;
  if (params.form == GEOMETRIC) {
    return vec4f(sign(a) * min(sign(a) * log_ratio, params.bound), 1.0, a, token.factor);
  }
  return vec4f(log_ratio, 1.0, token.factor * max(a, 0.0), token.factor * max(-a, 0.0));
}

// The loss of a sequence, and its derivative to each of its log-ratios. The clip is linear in |A|, so two sums do for all A.
fn sequence_term(total: vec4f) -> Term {
  let checked = total.x + total.y + total.z + total.w;
  if (!is_finite(checked)) {
    return Term(checked, checked);
  }
  // A sequence without a token that counts has sums of 0, and any divisor does.
  let length = max(total.y, 1.0);
  if (params.form == GEOMETRIC) {
    let divisor = length + params.epsilon;
    let ratio = exp_held(total.x / divisor, LOG_LIMIT);
    let scale = -total.z / divisor * total.w;
    return Term(scale * ratio.value, scale * ratio.slope / divisor);
  }
  let divisor = select(length, 1.0, params.is_sum != 0u);
  let ratio = exp_held(total.x / divisor, params.log_limit);
  let up = clip_term(ratio, 1.0);
  let down = clip_term(ratio, -1.0);
  return Term(up.value * total.z + down.value * total.w, (up.slope * total.z + down.slope * total.w) / divisor);
}

// The share of one token in a loss that `whole` is of its sequence.
fn share_of(token: Token, whole: Term) -> Term {
  if (params.form < SEQUENCE) {
    let checked = check(token);
    if (!is_finite(checked)) {
      return Term(checked, checked);
    }
    let term = token_term(token);
    return Term(token.factor * term.value, token.factor * term.slope);
  }
  let is_held = params.form == GEOMETRIC && sign(token.advantage) * (token.logprob - token.old) > params.bound;
  return Term(0.0, select(whole.slope, 0.0, is_held));
}

fn store(t: u32, policy_slope: f32, kl_slope: f32) {
  slopes[t] = policy_slope;
  slopes[params.tokens + t] = kl_slope;
}

fn clear(first: u32, end: u32, lane: u32) {
  for (var t = first + lane; t < end; t += WORKGROUP_SIZE) {
    store(t, 0.0, 0.0);
  }
}

// Sum over the lanes of the workgroup in a fixed tree; every lane gets it.
fn reduce(value: vec4f, lane: u32) -> vec4f {
  // All have read the sum before.
  workgroupBarrier();
  partial[lane] = value;
  workgroupBarrier();
  for (var half = WORKGROUP_SIZE / 2u; half > 0u; half >>= 1u) {
    if (lane < half) {
      partial[lane] += partial[lane + half];
    }
    workgroupBarrier();
  }
  return partial[0];
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn policy_loss(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group.x + group.y * groups.x;
  // Uniform: the sequence is the workgroup's, so all lanes leave together and none misses a barrier.
  if (i >= params.sequences) {
    return;
  }
  // Clamped, since only the GPU has seen the offsets.
  let first = min(offsets[i], params.tokens);
  let end = clamp(offsets[i + 1u], first, params.tokens);
  if (lane == 0u && (offsets[i] != first || offsets[i + 1u] != end)) {
    atomicMax(&status, FAULT + i);
  }
  clear(0u, select(0u, first, i == 0u), lane);
  clear(select(params.tokens, end, i == params.sequences - 1u), params.tokens, lane);
  var whole = Term(0.0, 0.0);
  if (params.form >= SEQUENCE) {
    var share = vec4f();
    for (var t = first + lane; t < end; t += WORKGROUP_SIZE) {
      let token = token_at(t);
      // Not `!=`, which a NaN passes by.
      if (token.weight == 0.0) {
        continue;
      }
      share += sequence_share(token);
    }
    whole = sequence_term(reduce(share, lane));
  }
  var sum = vec4f(select(0.0, whole.value, lane == 0u), 0.0, 0.0, 0.0);
  for (var t = first + lane; t < end; t += WORKGROUP_SIZE) {
    let token = token_at(t);
    if (token.weight == 0.0) {
      store(t, 0.0, 0.0);
      continue;
    }
    let policy = share_of(token, whole);
    var kl = Term(0.0, 0.0);
    if (params.kl != NO_KL) {
      kl = kl_term(token, rows[4u * params.tokens + t]);
    }
    store(t, policy.slope, token.weight * kl.slope);
    sum += vec4f(policy.value, token.weight * kl.value, 0.0, 0.0);
  }
  let total = reduce(sum, lane);
  if (lane == 0u) {
    sums[i] = total.xy;
  }
}
