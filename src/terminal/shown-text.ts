/** Text of models and files on a terminal: what would move the cursor, change colours or turn the direction is spelled out. */

/** Controls, formats, line separators and halves of characters; but not the joiners within emoji and Indic words. */
const UNSEEN = /(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** A text whose every character is seen: others are `\x1b` and `\u{202e}`. Line ends and tabs stay. */
export function shownText(text: string): string {
  return text.replace(UNSEEN, (character) => {
    const code = character.codePointAt(0) as number;
    const hex = code.toString(16);
    return code < 256 ? `\\x${hex.padStart(2, "0")}` : `\\u{${hex}}`;
  });
}

/** The same on one line: line ends and tabs are `\n` and `\t`. With `most`, at most so many characters, the last of them `…`. */
export function shownLine(text: string, most: number = Number.POSITIVE_INFINITY): string {
  const line = [...shownText(text).replaceAll("\n", "\\n").replaceAll("\t", "\\t")];
  return line.length <= most ? line.join("") : `${line.slice(0, most - 1).join("")}…`;
}
