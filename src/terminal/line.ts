/** Parts of lines on a terminal. */

/** How much of something is done, from 0 to 1, as a bar of so many characters. */
export function barText(share: number, width: number): string {
  const filled = Math.floor(share * width);
  return "━".repeat(filled) + "┄".repeat(width - filled);
}

/** A line cut to so many characters: one that would wrap could not be drawn over. */
export function clip(line: string, columns: number): string {
  return line.length <= columns ? line : `${line.slice(0, Math.max(0, columns - 1))}…`;
}

/** Text in lines of at most so many characters, broken between words; lines after the first begin with `indent`. */
export function wrapped(text: string, columns: number, indent: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line.trim() !== "" && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = indent + word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join("\n");
}
