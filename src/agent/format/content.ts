/** What is left of a reply when its calls are taken out. */

/** Parts between calls as one text: each without line breaks at its ends, and without those that are white space only. */
export function joined(parts: readonly string[]): string {
  if (parts.length === 1) return parts[0] as string;
  return parts
    .filter((part) => part.trim() !== "")
    .map(withoutBreaks)
    .join("\n");
}

/** A text without line breaks at its ends. */
export function withoutBreaks(text: string): string {
  let [begin, end] = [0, text.length];
  while (text[begin] === "\n") begin++;
  while (end > begin && text[end - 1] === "\n") end--;
  return text.slice(begin, end);
}
