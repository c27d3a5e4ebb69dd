import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Secret } from "../../../../cluster/transport/secret.ts";
import { expiryOf, mintTicket, TicketBook } from "../../../../cluster/transport/ticket.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const RUN = "00112233445566778899aabbccddeeff";
const key = Secret.random();

function bookOf(clock = new ManualClock(), lane = 0): TicketBook {
  const book = new TicketBook({ key, runId: RUN, nodeId: "b", lane, clock });
  book.open(3, ["a"]);
  return book;
}

function ticket(given: Partial<Parameters<typeof mintTicket>[2]> = {}): string {
  return mintTicket(key, RUN, { epoch: 3, from: "a", to: "b", expires: 2_000_000, ...given });
}

describe("a ticket", () => {
  it("is good once", () => {
    const book = bookOf();
    const text = ticket();
    expect(book.use(text, "a")).toBe("good");
    expect(book.use(text, "a")).toBe("replayed");
    expect(book.use(ticket(), "a")).toBe("good");
  });

  it("is good until it ends, and not after", () => {
    const clock = new ManualClock();
    const book = bookOf(clock);
    const expires = expiryOf(clock, 1_000);
    const [one, other] = [ticket({ expires }), ticket({ expires })];
    clock.advance(999);
    expect(book.use(one, "a")).toBe("good");
    clock.advance(1);
    expect(book.use(other, "a")).toBe("expired");
    expect(book.use(one, "a")).toBe("expired");
  });

  it("is good for its epoch, nodes and lane only", () => {
    const book = bookOf();
    expect(book.use(ticket({ epoch: 2 }), "a")).toBe("past");
    expect(book.use(ticket({ epoch: 4 }), "a")).toBe("early");
    expect(book.use(ticket({ from: "c" }), "a")).toBe("wrong node");
    expect(book.use(ticket({ from: "c" }), "c")).toBe("wrong node");
    expect(book.use(ticket({ to: "c" }), "a")).toBe("wrong node");
    expect(book.use(ticket({ lane: 1 }), "a")).toBe("wrong node");
    expect(bookOf(undefined, 1).use(ticket({ lane: 1 }), "a")).toBe("good");
  });

  it("is forged when any letter of it is another, whatever else is wrong with it", () => {
    const text = ticket();
    const letters = "0123456789abcdefABC:.-_ ";
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.constantFrom(...letters), (at, letter) => {
        fc.pre(text[at] !== letter);
        const changed = text.slice(0, at) + letter + text.slice(at + 1);
        return bookOf().use(changed, "a") === "forged";
      }),
      { numRuns: 1_000 },
    );
  });

  it("is forged when it is no ticket at all, or of another run or key", () => {
    for (const text of ["", ":", ticket().slice(1), `${ticket()}0`, "a".repeat(10_000)]) {
      expect(bookOf().use(text, "a")).toBe("forged");
    }
    const grant = { epoch: 3, from: "a", to: "b", expires: 2_000_000 };
    expect(bookOf().use(mintTicket(key, "f".repeat(32), grant), "a")).toBe("forged");
    expect(bookOf().use(mintTicket(Secret.random(), RUN, grant), "a")).toBe("forged");
  });

  it("is not minted for what is no node, run or epoch", () => {
    for (const grant of [
      { from: "a:b" },
      { to: "" },
      { epoch: -1 },
      { epoch: 2 ** 32 },
      { lane: 0.5 },
    ]) {
      expect(() => ticket(grant)).toThrowError(/argument_invalid/);
    }
    const grant = { epoch: 3, from: "a", to: "b", expires: 0 };
    expect(() => mintTicket(key, "a run", grant)).toThrowError(/argument_invalid/);
  });
});

describe("a book of tickets", () => {
  it("takes none before its first epoch", () => {
    const book = new TicketBook({ key, runId: RUN, nodeId: "b", clock: new ManualClock() });
    expect(book.use(ticket(), "a")).toBe("early");
  });

  it("forgets what was used in past epochs, which stay past", () => {
    const book = bookOf();
    const used = ticket();
    expect(book.use(used, "a")).toBe("good");
    book.open(4, ["a"]);
    expect(book.used).toBe(0);
    expect(book.use(used, "a")).toBe("past");
    book.open(3, ["a"]);
    expect(book.epoch).toBe(4);
    expect(book.use(used, "a")).toBe("past");
  });

  it("remembers what was used in an epoch that is opened again for other nodes", () => {
    const book = bookOf();
    const used = ticket();
    expect(book.use(used, "a")).toBe("good");
    book.open(3, ["a", "c"]);
    expect(book.use(used, "a")).toBe("replayed");
    expect(book.use(ticket({ from: "c" }), "c")).toBe("good");
  });

  it("is full before its memory is, and has room again as tickets end", () => {
    const clock = new ManualClock();
    const book = bookOf(clock);
    const expires = expiryOf(clock, 1_000);
    for (let i = 0; i < 4_096; i++) expect(book.use(ticket({ expires }), "a")).toBe("good");
    expect(book.use(ticket(), "a")).toBe("too many");
    clock.advance(1_000);
    expect(book.use(ticket(), "a")).toBe("good");
    expect(book.used).toBe(1);
  });
});
