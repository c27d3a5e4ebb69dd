// Softcapped scores; scores and cap are in powers of two. The clamp keeps tanh finite where it overflows.
fn cap(score: Score) -> Score {
  if (HAS_SOFTCAP) {
    let c = params.softcap * LOG2_E;
    let x = score / c;
    // Drivers make tanh from exp(), with an absolute error: its series serves the scores that are small beside the cap.
    let x2 = x * x;
    let series = x * (1.0 + x2 * (-1.0 / 3.0 + x2 * (2.0 / 15.0 + x2 * (-17.0 / 315.0 + x2 * (62.0 / 2835.0)))));
    return c * select(tanh(clamp(x, Score(-15.0), Score(15.0))), series, abs(x) < Score(0.25));
  }
  return score;
}
