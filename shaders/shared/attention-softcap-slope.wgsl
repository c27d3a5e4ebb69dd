// Derivative of `cap` at a capped score.
fn dcap(capped: Score) -> Score {
  if (HAS_SOFTCAP) {
    let t = capped / (params.softcap * LOG2_E);
    return 1.0 - t * t;
  }
  return Score(1.0);
}
