import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { TemplateError } from "../../../engine/models/jinja/source.ts";
import { strftime } from "../../../engine/models/jinja/strftime.ts";
import { JinjaTemplate } from "../../../engine/models/jinja/template.ts";

const golden = (name: string): string =>
  readFileSync(resolve(import.meta.dirname, "../../golden/chat-templates", name), "utf8");

const { variables, templates } = JSON.parse(golden("jinja-inputs.json")) as {
  readonly variables: Record<string, unknown>;
  readonly templates: readonly string[];
};
const { outcomes } = JSON.parse(golden("jinja.json")) as {
  readonly outcomes: readonly { readonly text?: string }[];
};

/** What Jinja2 renders, and this project refuses. */
const REFUSED: readonly string[] = [
  "{% raw %}{{ a }}{% endraw %}",
  "{% for m in messages %}{{ loop.cycle('a','b') }}{% endfor %}",
  '{{ "a" + "b" * 3 }}',
  "{{ '%s-%s' % ('a', 1) }}",
  '{{ "{} {}".format(1, 2) }}',
  "{{ (1,) }}",
  "{{ 1e3 }}",
  "{{ s | e }}",
  "{{ [1,2,3] | max }}",
  "{{ n is sameas n }}",
  "{{ 'abcabc'.find('c') }}",
];

const clock = (format: string): string => strftime(new Date(2026, 2, 5, 7, 8, 9), format);

describe("Jinja as Python renders it", () => {
  const cases = templates.map((template, at) => [template, outcomes[at]?.text] as const);

  it.each(cases)("%j", (template, text) => {
    const render = (): string =>
      new JinjaTemplate(template).render({ ...variables, strftime_now: clock });
    if (text === undefined || REFUSED.includes(template)) expect(render).toThrow(TemplateError);
    else expect(render()).toBe(text);
  });

  it("was asked for all that is refused", () => {
    expect(REFUSED.filter((template) => !templates.includes(template))).toEqual([]);
  });
});
