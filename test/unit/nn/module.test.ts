import { describe, expect, it } from "vitest";
import { parameter, parametersOf, type State } from "../../../engine/index.ts";
import { borrowStates, namedStates } from "../../../engine/nn/module.ts";

interface Model {
  readonly embedding: { readonly weight: State };
  readonly head: State;
  readonly layers: readonly { readonly weight: State }[];
}

function makeModel(): Model {
  const embedding = { weight: parameter([2], 0, "") };
  return { embedding, head: embedding.weight, layers: [{ weight: parameter([3], 0, "") }] };
}

describe("borrowStates", () => {
  const lender = makeModel();
  const own = parametersOf(lender);
  const borrower = makeModel();
  borrowStates(borrower, lender);

  it("puts the lender's states into every place, tied ones too", () => {
    expect(borrower.embedding.weight).toBe(lender.embedding.weight);
    expect(borrower.head).toBe(lender.head);
    expect(borrower.layers[0]?.weight).toBe(lender.layers[0]?.weight);
    expect([...namedStates(borrower)]).toEqual([...namedStates(lender)]);
  });

  it("leaves their training to the lender", () => {
    expect(parametersOf(borrower)).toEqual([]);
    expect(parametersOf(lender)).toEqual(own);
    expect(parametersOf({ borrower, lender })).toEqual(own);
    expect(parametersOf({ lender, borrower })).toEqual(own);
  });

  it("leaves what the borrower gets afterwards to the borrower", () => {
    const added = parameter([1], 0, "");
    const policy = Object.assign(makeModel(), { added: undefined as State | undefined });
    borrowStates(policy, lender);
    policy.added = added;
    expect(parametersOf({ policy })).toEqual([added]);
    expect(added.name).toBe("policy.added");
  });
});
