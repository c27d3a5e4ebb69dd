/** Elements of the page. */

/** The element `data-part="name"` within another. The page is written with it: that it is missing is a mistake of ours. */
export function part<T extends HTMLElement>(
  within: ParentNode,
  name: string,
  kind: { new (): T; readonly name: string },
): T {
  const found = within.querySelector(`[data-part="${name}"]`);
  if (found instanceof kind) return found;
  throw new Error(`index.html has no ${kind.name} for "${name}"`);
}

/** A new element with a class and contents. Texts stay texts: nothing in them is taken for HTML. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  className: string,
  ...contents: readonly (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  made.className = className;
  made.append(...contents);
  return made;
}
