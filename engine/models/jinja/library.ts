/** What is used of @huggingface/jinja, whose own declarations do not resolve in Node's module mode. */
import * as jinja from "@huggingface/jinja";

/** A value at run time. */
export interface Value {
  readonly type: string;
  readonly value: unknown;
  readonly builtins: ReadonlyMap<string, Value>;
  __bool__(): { readonly value: boolean };
}

/** A node of a parsed template. */
export interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** The variables of a part of a template. */
export interface Scope {
  readonly variables: Map<string, Value>;
  /** Declares a variable, from a value of JavaScript. */
  set(name: string, value: unknown): Value;
  setVariable(name: string, value: Value): Value;
}

/** A token of a template. */
export interface Token {
  readonly type: string;
  readonly value: string;
}

interface Library {
  readonly Environment: new (parent?: Scope) => Scope;
  readonly Interpreter: new (
    global: Scope,
  ) => {
    evaluate(node: Node | undefined, scope: Scope): Value;
  };
  readonly tokenize: (source: string) => Token[];
  readonly parse: (tokens: readonly Token[]) => Node;
}

const library = jinja as unknown as Library;

export const Environment: Library["Environment"] = library.Environment;
export const Interpreter: Library["Interpreter"] = library.Interpreter;
export const tokenize: Library["tokenize"] = library.tokenize;
export const parse: Library["parse"] = library.parse;

const scratch = new Environment();

/** A value of JavaScript as one of a template. */
export function toValue(value: unknown): Value {
  scratch.variables.delete("value");
  return scratch.set("value", value);
}

/** The value that is none. */
export const UNDEFINED: Value = toValue(undefined);

const StringValue = toValue("").constructor as new (text: string) => Value;
const ArrayValue = toValue([]).constructor as new (items: readonly Value[]) => Value;
const ObjectValue = toValue({}).constructor as new (entries: ReadonlyMap<string, Value>) => Value;

/** A text as a value. */
export function textValue(text: string): Value {
  return new StringValue(text);
}

/** A list of values. */
export function listValue(items: readonly Value[]): Value {
  return new ArrayValue(items);
}

/** A dict of values. */
export function dictValue(entries: ReadonlyMap<string, Value>): Value {
  return new ObjectValue(entries);
}
