/** Jinja templates: parsed once, rendered often. */
import { Python } from "./interpreter.ts";
import { Environment, type Node, parse, type Token, tokenize } from "./library.ts";
import { type Tag, TemplateError, trimBlocks } from "./source.ts";

/** Keywords of the tags that become a node. */
const KEYWORDS = new Set("if elif for set macro call filter break continue".split(" "));

const MAX_RANGE = 100_000;

/** What every template knows. */
const GLOBALS = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  range,
  raise_exception: (message: unknown): never => {
    throw new Error(String(message));
  },
};

/** A template, parsed. */
export class JinjaTemplate {
  readonly #program: readonly Node[];
  /** The nodes that stand in a block, and where that is known: texts have no line. */
  readonly #lines: ReadonlyMap<Node, number | undefined>;

  /** Errors    {@link TemplateError} for a template that does not parse. */
  constructor(source: string) {
    const { text, tags } = trimBlocks(source);
    const tokens = tokenized(text, tags);
    this.#program = parsed(tokens, tags)["body"] as Node[];
    const lines = linesOfNodes(tokens, tags);
    this.#lines = new Map(nodesOf(this.#program).map((node, at) => [node, lines[at]]));
  }

  /**
   * The text of the template for these variables: JSON values and functions.
   *
   * Errors    {@link TemplateError} for what the template raises, what is not supported, and what does not end.
   */
  render(variables: Readonly<Record<string, unknown>>): string {
    const scope = new Environment();
    for (const [name, value] of Object.entries({ ...GLOBALS, ...variables }))
      scope.set(name, value);
    return new Python(scope, this.#lines).render(this.#program);
  }
}

function tokenized(text: string, tags: readonly Tag[]): Token[] {
  try {
    return tokenize(text);
  } catch (cause) {
    throw new TemplateError((cause as Error).message, tags.find(isBroken)?.line);
  }
}

function isBroken({ text }: Tag): boolean {
  try {
    tokenize(text);
    return false;
  } catch {
    return true;
  }
}

/** The parser does not say where it stopped, so it is watched. */
function parsed(tokens: Token[], tags: readonly Tag[]): Node {
  let last = 0;
  const watched = new Proxy(tokens, {
    get: (target, key) => {
      if (typeof key === "string" && Number(key) >= last) last = Number(key);
      return Reflect.get(target, key);
    },
  });
  try {
    return parse(watched);
  } catch (cause) {
    const tag = tokens.slice(0, last + 1).filter(isTag).length - 1;
    const ends = last >= tokens.length;
    const problem = ends ? "a block has no end" : (cause as Error).message;
    throw new TemplateError(problem, tags[tag]?.line);
  }
}

/** Whether a token opens a tag. */
function isTag({ type }: Token): boolean {
  return type === "OpenStatement" || type === "OpenExpression" || type === "Comment";
}

/** Where the nodes of {@link nodesOf} stand: their tokens come in the same order. */
function linesOfNodes(tokens: readonly Token[], tags: readonly Tag[]): (number | undefined)[] {
  const lines: (number | undefined)[] = [];
  let tag = -1;
  tokens.forEach((token, at) => {
    if (isTag(token)) tag++;
    const isStatement = token.type === "OpenStatement";
    if (token.type === "Text") lines.push(undefined);
    else if (isStatement ? KEYWORDS.has(tokens[at + 1]?.value ?? "") : isTag(token)) {
      lines.push(tags[tag]?.line);
    }
  });
  return lines;
}

/** The nodes of a block and of the blocks within it, in the order of the template. */
function nodesOf(block: readonly Node[]): Node[] {
  return block.flatMap((node) => {
    const inner = ["body", "alternate", "defaultBlock"].map((name) => node[name] ?? []);
    return [node, ...nodesOf(inner.flat() as Node[])];
  });
}

function range(...bounds: readonly number[]): number[] {
  const [start = 0, stop = Number.NaN, step = 1] = bounds.length > 1 ? bounds : [0, ...bounds];
  const count = Math.ceil((stop - start) / step);
  if (!(count <= MAX_RANGE)) throw new Error("a range is too long, or has no numbers");
  return Array.from({ length: Math.max(0, count) }, (_, at) => start + at * step);
}
