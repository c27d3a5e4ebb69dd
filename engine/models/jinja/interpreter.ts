/**
 * The interpreter of @huggingface/jinja, made to agree with Python's Jinja2 where chat templates notice: there
 * `lstrip("\n")` takes all white space, None and True print as JavaScript's, `undefined == none`, no two lists are
 * equal, what a loop sets outlives its round, macros see the variables of their callers, `continue` loses what was
 * printed before it.
 *
 * A template that transformers renders gives the same text here, or an error where something is not supported. Known to
 * differ: integers beyond 2^53, floats such as 1.0, which JSON makes integers here, and entries of a dict printed whole,
 * which are lists here.
 */
import { type Arguments, elements, FILTERS, STRING_METHODS } from "./filters.ts";
import {
  dictValue,
  Environment,
  Interpreter,
  type Node,
  type Scope,
  textValue,
  toValue,
  UNDEFINED,
  type Value,
} from "./library.ts";
import { bindMacro, loopValue, roundOf } from "./scopes.ts";
import { TemplateError } from "./source.ts";
import { passes } from "./tests.ts";
import { checkSize, contains, equal, isNumber, modulo, toText } from "./values.ts";

/** Nodes that one rendering may visit, as for ten thousand messages; a round of a loop costs as much as ten. */
const MAX_STEPS = 1_000_000;
const STEPS_OF_ROUND = 10;
/** Nodes within nodes and macros within macros. The library takes an overflow of the stack for a missing variable. */
const MAX_DEPTH = 400;

/** Nodes in a block that print nothing, or what they print themselves. */
const STATEMENTS = new Set(
  "If For Set Macro CallStatement FilterStatement Break Continue Comment".split(" "),
);

/** `break` and `continue` on their way to their loop, with what was printed before them. */
class LoopControl extends Error {
  text = "";
  readonly ends: boolean;

  constructor(ends: boolean) {
    super("break or continue outside of a loop");
    this.ends = ends;
  }
}

/** Runs a template once. */
export class Python extends Interpreter {
  readonly #scope: Scope;
  readonly #lines: ReadonlyMap<Node, number | undefined>;
  #steps = 0;
  #depth = 0;

  /** `lines`: the nodes that stand in a block, and where that is known. */
  constructor(scope: Scope, lines: ReadonlyMap<Node, number | undefined>) {
    super(scope);
    this.#scope = scope;
    this.#lines = lines;
  }

  /**
   * The text of a program.
   *
   * Errors    {@link TemplateError}.
   */
  render(program: readonly Node[]): string {
    return this.#block(program, this.#scope);
  }

  override evaluate(node: Node | undefined, scope: Scope): Value {
    if (!node) return UNDEFINED;
    this.#count(1);
    if (++this.#depth > MAX_DEPTH) throw new Error("the template is nested too deeply");
    try {
      const value = checkSize(this.#evaluate(node, scope));
      const prints = this.#lines.has(node) && !STATEMENTS.has(node.type);
      return prints ? textValue(toText(value)) : value;
    } catch (cause) {
      if (!this.#lines.has(node)) throw cause;
      // The innermost block is the first to see it.
      if (cause instanceof TemplateError || cause instanceof LoopControl) throw cause;
      throw new TemplateError((cause as Error).message, this.#lines.get(node));
    } finally {
      this.#depth--;
    }
  }

  #count(steps: number): void {
    this.#steps += steps;
    if (this.#steps > MAX_STEPS) throw new Error("the template does not end");
  }

  #evaluate(node: Node, scope: Scope): Value {
    switch (node.type) {
      case "Value":
        return node["value"] as Value;
      case "If":
        return this.#if(node, scope);
      case "For":
        return this.#for(node, scope);
      case "Macro": {
        const nothing = super.evaluate(node, scope);
        bindMacro(scope.variables.get((node["name"] as Node)["value"] as string), scope);
        return nothing;
      }
      case "Break":
      case "Continue":
        throw new LoopControl(node.type === "Break");
      case "CallExpression":
        return this.#call(node, scope);
      case "MemberExpression":
        return this.#member(node, scope);
      case "BinaryExpression":
        return this.#binary(node, scope);
      case "TestExpression":
        return this.#test(node, scope);
      case "FilterExpression":
        return this.#filter(node, this.evaluate(node["operand"] as Node, scope), scope);
      case "FilterStatement": {
        const text = textValue(this.#block(node["body"] as Node[], scope));
        return this.#filter({ ...node, type: "FilterExpression" }, text, scope);
      }
      default:
        return super.evaluate(node, scope);
    }
  }

  #block(nodes: readonly Node[], scope: Scope): string {
    let text = "";
    for (const node of nodes) {
      try {
        const value = this.evaluate(node, scope);
        if (value.type === "StringValue") text += value.value;
      } catch (cause) {
        if (cause instanceof LoopControl) cause.text = text + cause.text;
        throw cause;
      }
    }
    return text;
  }

  #if(node: Node, scope: Scope): Value {
    const holds = this.evaluate(node["test"] as Node, scope).__bool__().value;
    return textValue(this.#block(node[holds ? "body" : "alternate"] as Node[], scope));
  }

  #for(node: Node, scope: Scope): Value {
    const all = this.#loopItems(node, scope);
    let text = "";
    if (all.length === 0) {
      text = this.#block(node["defaultBlock"] as Node[], new Environment(scope));
    }
    for (const [at, item] of all.entries()) {
      const round = roundOf(node, item, scope);
      round.setVariable("loop", loopValue(all, at));
      try {
        text += this.#block(node["body"] as Node[], round);
      } catch (cause) {
        if (!(cause instanceof LoopControl)) throw cause;
        text += cause.text;
        if (cause.ends) break;
      }
    }
    return textValue(text);
  }

  #loopItems(node: Node, scope: Scope): readonly Value[] {
    const iterable = node["iterable"] as Node;
    const filtered = iterable.type === "SelectExpression";
    const source = this.evaluate(filtered ? (iterable["lhs"] as Node) : iterable, scope);
    const all = elements(source);
    this.#count(all.length * STEPS_OF_ROUND);
    if (!filtered) return all;
    const test = iterable["test"] as Node;
    return all.filter((item) => this.evaluate(test, roundOf(node, item, scope)).__bool__().value);
  }

  #call(node: Node, scope: Scope): Value {
    const callee = node["callee"] as Node;
    if (callee.type === "Identifier" && callee["value"] === "dict") {
      return dictValue(this.#arguments(node["args"] as readonly Node[], scope).named);
    }
    const isMethod = callee.type === "MemberExpression" && !callee["computed"];
    if (!isMethod) return super.evaluate(node, scope);
    const object = this.evaluate(callee["object"] as Node, scope);
    const name = (callee["property"] as Node)["value"] as string;
    const args = node["args"] as readonly Node[];
    if (object.type === "StringValue") {
      const method = STRING_METHODS.get(name);
      if (method) return method(object, this.#arguments(args, scope));
    } else if (object.type === "ObjectValue" && DICT_METHODS.has(name)) {
      // Before the entry of that name: a schema has "items", and a tool may have an argument "get".
      const method = object.builtins.get(name)?.value as (args: readonly Value[]) => Value;
      return method(this.#arguments(args, scope).positional);
    }
    return super.evaluate({ ...node, callee: { ...callee, object: known(object) } }, scope);
  }

  #arguments(nodes: readonly Node[], scope: Scope): Arguments {
    const positional: Value[] = [];
    const named = new Map<string, Value>();
    for (const node of nodes) {
      if (node.type === "SpreadExpression" || node.type === "KeywordSpreadExpression") {
        throw new Error("* and ** are not supported here");
      }
      if (node.type === "KeywordArgumentExpression") {
        const key = node["key"] as Node;
        named.set(key["value"] as string, this.evaluate(node["value"] as Node, scope));
      } else {
        positional.push(this.evaluate(node, scope));
      }
    }
    return { positional, named };
  }

  #member(node: Node, scope: Scope): Value {
    const object = this.evaluate(node["object"] as Node, scope);
    if (object.type === "UndefinedValue") throw new Error("an undefined value has no attributes");
    const property = node["property"] as Node;
    if (!node["computed"] || property.type === "SliceExpression") {
      return super.evaluate({ ...node, object: known(object) }, scope);
    }
    const index = this.evaluate(property, scope);
    if (object.type === "ObjectValue" && index.type !== "StringValue") return UNDEFINED;
    if (object.type === "StringValue" && index.type === "IntegerValue") {
      return elements(object).at(index.value as number) ?? UNDEFINED;
    }
    return super.evaluate({ ...node, object: known(object), property: known(index) }, scope);
  }

  #binary(node: Node, scope: Scope): Value {
    const { value: operator } = node["operator"] as { readonly value: string };
    if (operator === "and" || operator === "or") return super.evaluate(node, scope);
    const left = this.evaluate(node["left"] as Node, scope);
    const right = this.evaluate(node["right"] as Node, scope);
    switch (operator) {
      case "==":
        return toValue(equal(left, right));
      case "!=":
        return toValue(!equal(left, right));
      case "in":
        return toValue(contains(right, left));
      case "not in":
        return toValue(!contains(right, left));
      case "~":
        return textValue(toText(left) + toText(right));
      case "+":
        if (!isNumber(left) && left.type !== right.type) {
          throw new Error(`a ${left.type} and a ${right.type} do not add up`);
        }
        break;
      case "%":
        if (left.type === "IntegerValue" && right.type === "IntegerValue" && right.value !== 0) {
          return toValue(modulo(left.value as number, right.value as number));
        }
        throw new Error("% takes two integers");
    }
    return super.evaluate({ ...node, left: known(left), right: known(right) }, scope);
  }

  #test(node: Node, scope: Scope): Value {
    const operand = this.evaluate(node["operand"] as Node, scope);
    const holds = passes(operand, (node["test"] as Node)["value"] as string);
    return toValue(holds !== node["negate"]);
  }

  #filter(node: Node, operand: Value, scope: Scope): Value {
    const call = node["filter"] as Node;
    const called = call.type === "CallExpression";
    const name = ((called ? call["callee"] : call) as Node)["value"] as string;
    const own = FILTERS.get(name);
    if (!own) return super.evaluate({ ...node, operand: known(operand) }, scope);
    return own(operand, this.#arguments(called ? (call["args"] as Node[]) : [], scope));
  }
}

/** Methods of a dict that go before its entries. */
const DICT_METHODS = new Set(["get", "items", "keys", "values"]);

/** A value that stands where a node is expected. */
function known(value: Value): Node {
  return { type: "Value", value };
}
