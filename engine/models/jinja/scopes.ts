/** The variables that loops and macros see. */
import { elements } from "./filters.ts";
import { Environment, type Node, type Scope, toValue, UNDEFINED, type Value } from "./library.ts";

/** The variables of a round of a loop, which end with it. */
export function roundOf(loop: Node, item: Value, scope: Scope): Scope {
  const round = new Environment(scope);
  assign(round, loop["loopvar"] as Node, item);
  return round;
}

function assign(scope: Scope, target: Node, item: Value): void {
  if (target.type === "Identifier") {
    scope.setVariable(target["value"] as string, item);
    return;
  }
  const names = target["value"] as readonly Node[];
  const parts = elements(item);
  if (parts.length !== names.length) throw new Error("a loop unpacks the wrong number of items");
  names.forEach((name, at) => {
    assign(scope, name, parts[at] as Value);
  });
}

/** The `loop` of a round. */
export function loopValue(all: readonly Value[], at: number): Value {
  const { length } = all;
  const loop = toValue({
    index: at + 1,
    index0: at,
    revindex: length - at,
    revindex0: length - at - 1,
    first: at === 0,
    last: at === length - 1,
    length,
    depth: 1,
    depth0: 0,
  });
  const entries = loop.value as Map<string, Value>;
  entries.set("previtem", all[at - 1] ?? UNDEFINED);
  entries.set("nextitem", all[at + 1] ?? UNDEFINED);
  return loop;
}

/** A macro as the library makes it: what it sees is given at each call. */
interface Macro {
  value: (args: readonly Value[], scope: Scope) => Value;
}

/** Makes a macro see the variables of where it is defined, not of where it is called, and the `caller` of a call block. */
export function bindMacro(macro: unknown, definition: Scope): void {
  const made = macro as Macro;
  const run = made.value;
  made.value = (args, call) => {
    const scope = new Environment(definition);
    const caller = call.variables.get("caller");
    if (caller) scope.setVariable("caller", caller);
    return run(args, scope);
  };
}
