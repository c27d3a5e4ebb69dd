/** Amounts as people read them: three digits and a unit. */

const PREFIXES = ["", "k", "M", "G", "T", "P", "E"] as const;

/** An amount with its unit: `120 steps`, `3.75 steps`; of bytes (`"B"`) in powers of 1000: `532 B`, `98.7 MB`. */
export function amountText(amount: number, unit: string): string {
  if (unit !== "B") return `${Number.isInteger(amount) ? amount : threeDigits(amount)} ${unit}`;
  let scaled = amount;
  let power = 0;
  // 999.5 would be rounded to 1000.
  while (Math.abs(scaled) >= 999.5 && power < PREFIXES.length - 1) {
    scaled /= 1000;
    power++;
  }
  const text = power === 0 ? String(Math.round(scaled)) : threeDigits(scaled);
  return `${text} ${PREFIXES[power]}B`;
}

/** Bytes as people read them; see {@link amountText}. */
export function bytesText(bytes: number): string {
  return amountText(bytes, "B");
}

/** A plain number in about six characters: `0.62`, `12.3`, `3`, `4.57k`, `3.1e-9`. */
export function numberText(x: number): string {
  const size = Math.abs(x);
  if (!Number.isFinite(x) || (Number.isInteger(x) && size < 1000)) return String(x);
  if (size >= 999.5 && size < 999.5e12) return thousandsText(x);
  if (size >= 0.00995 && size < 999.5) return threeDigits(x);
  return smallText(x);
}

/** A number by its power of ten: `3.1e-9`, `2e-10`. */
export function smallText(x: number): string {
  const text = x.toExponential(1);
  return text.length <= 6 ? text : x.toExponential(0);
}

function thousandsText(x: number): string {
  let [scaled, power] = [x, 0];
  for (; Math.abs(scaled) >= 999.5; power++) scaled /= 1000;
  return `${threeDigits(scaled)}${PREFIXES[power]}`;
}

/** A time in seconds as a clock shows it: `0:07`, `12:34`, `1:02:03`. */
export function clockText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (part: number): string => String(part).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}

/** Three significant digits, trailing zeros included, so that a figure that changes keeps its width. */
function threeDigits(x: number): string {
  const size = Math.abs(x);
  if (size >= 99.95) return x.toFixed(0);
  return x.toFixed(size >= 9.995 ? 1 : 2);
}
