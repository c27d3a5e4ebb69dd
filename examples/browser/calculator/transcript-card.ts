/** A conversation as a card: who says what, and whether it came out right. */
import { element } from "../elements.ts";
import type { Part, Transcript } from "./progress.ts";

/** Who speaks behind a token. */
const SPEAKERS: Readonly<Record<string, string>> = {
  system: "rules",
  user: "asked",
  assistant: "says",
  call: "calls",
  tool: "tool",
};

export function transcriptCard({ parts, isSuccess }: Transcript): HTMLElement {
  const verdict = element("p", "verdict", isSuccess ? "right" : "wrong");
  const card = element("article", "transcript", ...parts.map(line), verdict);
  card.dataset["outcome"] = isSuccess ? "right" : "wrong";
  return card;
}

function line({ token, text }: Part): HTMLElement {
  const shown = element(
    "p",
    "line",
    element("b", "", SPEAKERS[token] ?? token),
    element("code", "", text),
  );
  shown.dataset["speaker"] = token;
  return shown;
}
