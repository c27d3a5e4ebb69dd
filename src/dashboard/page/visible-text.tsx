/** Text that a model wrote, as text: what cannot be seen, or would move what can, is spelt out. */
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";

/**
 * Control characters but tab and line feed, line and paragraph separators, zero-width and bidirectional controls, variation
 * selectors of no use here, tags, noncharacters, U+FFFD, and surrogates that are no pair.
 */
const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u00AD\u061C\u115F\u1160\u180E\u200B-\u200F\u2028-\u202E\u2060-\u206F\u3164\uFEFF\uFFF9-\uFFFD]|\p{Cs}|[\u{E0000}-\u{E007F}]/gu;

const NAMES: Readonly<Record<string, string>> = {
  "U+0000": "NUL",
  "U+0007": "BEL",
  "U+0008": "BS",
  "U+000D": "CR",
  "U+001B": "ESC",
  "U+007F": "DEL",
};

/** A text with its hidden characters visible. */
export function visible(text: string): ComponentChildren[] {
  const parts: ComponentChildren[] = [];
  let from = 0;
  for (const { 0: character, index } of text.matchAll(HIDDEN)) {
    if (index > from) parts.push(text.slice(from, index));
    const point = pointOf(character);
    parts.push(
      <span class="hidden-character" title={point}>
        {NAMES[point] ?? point}
      </span>,
    );
    from = index + character.length;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

/** The same where there is no room for more than characters. */
export function spelt(text: string): string {
  return text.replaceAll(HIDDEN, (character) => `⟨${pointOf(character)}⟩`);
}

function pointOf(character: string): string {
  return `U+${(character.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, "0")}`;
}

const PIECE = 20_000;

/** A long text, piece by piece. */
export function LongText({
  text,
  class: name = "",
}: {
  text: string;
  class?: string;
}): JSX.Element {
  const [shown, setShown] = useState(PIECE);
  const rest = text.length - shown;
  return (
    <>
      <pre class={`text ${name}`}>{visible(wholePairs(text, shown))}</pre>
      {rest > 0 && (
        <button type="button" class="quiet" onClick={() => setShown(shown + 10 * PIECE)}>
          {`Show more: ${rest.toLocaleString("en-GB")} characters are left`}
        </button>
      )}
    </>
  );
}

/** So many units from the beginning, and no half of a pair at the end. */
function wholePairs(text: string, length: number): string {
  const isHalf = /[\uD800-\uDBFF]/.test(text.charAt(length - 1));
  return text.slice(0, isHalf && length < text.length ? length + 1 : length);
}
