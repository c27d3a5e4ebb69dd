/** Python's strftime, in English as in the C locale. */

const DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");
const MONTHS =
  "January February March April May June July August September October November December".split(
    " ",
  );

const two = (value: number): string => String(value).padStart(2, "0");

/** What each letter stands for. */
const FIELDS: Readonly<Record<string, (date: Date) => string>> = {
  a: (d) => (DAYS[d.getDay()] as string).slice(0, 3),
  A: (d) => DAYS[d.getDay()] as string,
  b: (d) => (MONTHS[d.getMonth()] as string).slice(0, 3),
  B: (d) => MONTHS[d.getMonth()] as string,
  d: (d) => two(d.getDate()),
  e: (d) => String(d.getDate()).padStart(2),
  F: (d) => strftime(d, "%Y-%m-%d"),
  H: (d) => two(d.getHours()),
  I: (d) => two(d.getHours() % 12 || 12),
  j: (d) => String(dayOfYear(d)).padStart(3, "0"),
  m: (d) => two(d.getMonth() + 1),
  M: (d) => two(d.getMinutes()),
  p: (d) => (d.getHours() < 12 ? "AM" : "PM"),
  S: (d) => two(d.getSeconds()),
  T: (d) => strftime(d, "%H:%M:%S"),
  y: (d) => two(d.getFullYear() % 100),
  Y: (d) => String(d.getFullYear()),
  "%": () => "%",
};

/** A local time in a format such as "%d %b %Y". Letters that are not known stay as they are; "-" drops a zero. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([A-Za-z%])/g, (directive, short: string, letter: string) => {
    const text = FIELDS[letter]?.(date);
    if (text === undefined) return directive;
    return short ? text.replace(/^0+(?=.)/, "") : text;
  });
}

function dayOfYear(date: Date): number {
  const day = (d: Date): number =>
    Date.UTC(d.getFullYear(), d.getMonth(), d.getDate()) / 86_400_000;
  return day(date) - day(new Date(date.getFullYear(), 0, 1)) + 1;
}
