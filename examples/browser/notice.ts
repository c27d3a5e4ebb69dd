/** Notices that say what is in the way. */
import { element } from "./elements.ts";
import type { Obstacle } from "./support.ts";

export function showNotice(host: HTMLElement, { title, why, steps }: Obstacle): void {
  const list = element("ul", "", ...steps.map((step) => element("li", "", ...withCode(step))));
  host.replaceChildren(element("h3", "", title), element("p", "", why), list);
  host.hidden = false;
}

/** Text in which `this` is code. */
function withCode(text: string): (Node | string)[] {
  return text.split("`").map((piece, i) => (i % 2 === 1 ? element("code", "", piece) : piece));
}
