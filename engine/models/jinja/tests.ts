/** The tests of Jinja2, as in `x is defined` and `selectattr("role", "in", roles)`. */
import type { Value } from "./library.ts";
import { contains, equal, isNumber, isSequence } from "./values.ts";

type Test = (value: Value, other: Value | undefined) => boolean;

const TYPES: ReadonlyMap<string, readonly string[]> = new Map([
  ["undefined", ["UndefinedValue"]],
  ["none", ["NullValue"]],
  ["boolean", ["BooleanValue"]],
  ["integer", ["IntegerValue"]],
  ["float", ["FloatValue"]],
  ["string", ["StringValue"]],
  ["mapping", ["ObjectValue"]],
  ["callable", ["FunctionValue"]],
]);

const equals: Test = (value, other) => other !== undefined && equal(value, other);

const TESTS: ReadonlyMap<string, Test> = new Map<string, Test>([
  ["defined", ({ type }) => type !== "UndefinedValue"],
  ["true", ({ type, value }) => type === "BooleanValue" && value === true],
  ["false", ({ type, value }) => type === "BooleanValue" && value === false],
  ["number", isNumber],
  ["iterable", (value) => isSequence(value) || /^(Object|String|Undefined)/.test(value.type)],
  ["sequence", (value) => isSequence(value) || /^(Object|String|Undefined)/.test(value.type)],
  ["odd", (value) => isNumber(value) && Number(value.value) % 2 !== 0],
  ["even", (value) => isNumber(value) && Number(value.value) % 2 === 0],
  ["equalto", equals],
  ["eq", equals],
  ["==", equals],
  ["ne", (value, other) => !equals(value, other)],
  ["!=", (value, other) => !equals(value, other)],
  ["in", (value, other) => other !== undefined && contains(other, value)],
]);

/** Whether a value passes a test; an error if there is no test of that name. */
export function passes(value: Value, name: string, other?: Value): boolean {
  const types = TYPES.get(name);
  if (types) return types.includes(value.type);
  const test = TESTS.get(name);
  if (!test) throw new Error(`there is no test "${name}"`);
  return test(value, other);
}
