/** One thing that the doctor looked at. */
export interface Check {
  readonly name: string;
  readonly status: "ok" | "warn" | "fail";
  /** What was found. */
  readonly detail: string;
  /** What to do about it; absent when all is well. */
  readonly fix?: string;
}

/** The command that brings what is missing. */
export const FIX_BY_SETUP = "forge-gpu doctor --fix";

/** One line a check, its fix under it. Names are padded to `width`. */
export function checkText({ name, status, detail, fix }: Check, width: number): string {
  const line = `${status.padEnd(4)}  ${name.padEnd(width)}  ${detail}\n`;
  return fix === undefined ? line : `${line}${" ".repeat(width + 8)}fix: ${fix}\n`;
}
