/** The colours of the page, light or dark as the reader's system is. */

const dark = matchMedia("(prefers-color-scheme: dark)");
const known = new Map<string, string>();
dark.addEventListener("change", () => known.clear());

export const theme = {
  /** The value of a custom property of the page. */
  colour(name: `--${string}`): string {
    const colour =
      known.get(name) ?? getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    known.set(name, colour);
    return colour;
  },
  /** Calls when light becomes dark, or dark light. */
  onChange(listener: () => void): void {
    dark.addEventListener("change", listener);
  },
};
