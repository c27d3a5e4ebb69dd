import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HttpHeadReader } from "../../../../cluster/transport/http-head.ts";
import { Intake, type Reading } from "../../../../cluster/transport/intake.ts";

/** Brings bytes in pieces: copied, or put into the room as a socket does. */
function bring(intake: Intake, bytes: Uint8Array, pieces: readonly number[]): void {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const length = pieces[i % pieces.length] as number;
    if (i % 2 === 0) {
      intake.take(bytes.subarray(at, at + length));
      at += length;
    } else {
      const { room } = intake;
      const piece = bytes.subarray(at, at + Math.min(length, room.length));
      room.set(piece);
      intake.filled(piece.length);
      at += piece.length;
    }
  }
}

const pieces = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 2, maxLength: 6 });

describe("an intake", () => {
  test("fills places one after the other, however the bytes come, and throws away what is left", () => {
    const lengths = fc.array(fc.nat(60), { maxLength: 12 });
    fc.assert(
      fc.property(lengths, pieces, fc.nat(20), (given, cut, more) => {
        const places = given.map((length) => new Uint8Array(new SharedArrayBuffer(length + 2)));
        const full: number[] = [];
        const intake = new Intake();
        intake.start(
          (function* (): Reading {
            for (const [i, place] of places.entries()) {
              yield place.subarray(1, place.length - 1);
              full.push(i);
            }
          })(),
        );
        const total = given.reduce((sum, length) => sum + length, 0);
        bring(
          intake,
          Uint8Array.from({ length: total + more }, (_, i) => 1 + (i % 255)),
          cut,
        );
        expect(full).toEqual([...places.keys()]);
        let next = 0;
        const expected = given.map((length) => [
          ...[0, ...Array.from({ length }, () => 1 + (next++ % 255)), 0],
        ]);
        expect(places.map((place) => [...place])).toEqual(expected);
        expect(intake.room.length).toBeGreaterThan(0);
      }),
    );
  });

  test("writes nowhere any more once it is stopped, from within too", () => {
    const place = new Uint8Array(4);
    const intake = new Intake();
    let yields = 0;
    intake.start(
      (function* (): Reading {
        for (; ; yields++) {
          if (yields === 2) intake.stop();
          yield place;
        }
      })(),
    );
    intake.take(Uint8Array.from({ length: 10 }, (_, i) => i));
    expect([...place]).toEqual([4, 5, 6, 7]);
    intake.take(new Uint8Array(100));
    intake.room.fill(9);
    intake.filled(4);
    expect([...place]).toEqual([4, 5, 6, 7]);
  });

  test("gives bytes to whoever does not read yet, and what follows to whoever then reads", () => {
    const loose: number[] = [];
    const place = new Uint8Array(3);
    const intake = new Intake((bytes) => {
      loose.push(...bytes);
      if (loose.length < 4) return;
      intake.start(
        (function* (): Reading {
          yield place;
        })(),
      );
    });
    intake.take(Uint8Array.of(1, 2));
    intake.room.set([3, 4]);
    intake.filled(2);
    intake.take(Uint8Array.of(5, 6, 7, 8));
    expect(loose).toEqual([1, 2, 3, 4]);
    expect([...place]).toEqual([5, 6, 7]);
  });
});

describe("the head of an answer", () => {
  const head =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: forge-ring\r\nx-Twice: a\r\nX-A: b: c \r\nX-TWICE: a\r\n\r\n";

  test("is read however it comes, and what follows it is left", () => {
    fc.assert(
      fc.property(pieces, fc.uint8Array({ maxLength: 30 }), (cut, rest) => {
        const bytes = Buffer.concat([Buffer.from(head), rest]);
        const reader = new HttpHeadReader();
        let at = 0;
        for (let i = 0; at < bytes.length; i++) {
          const length = cut[i % cut.length] as number;
          const found = reader.read(bytes.subarray(at, at + length));
          at += length;
          if (!found) continue;
          expect(at).toBeGreaterThanOrEqual(head.length);
          expect(found.status).toBe(101);
          expect({ ...found.headers }).toEqual({
            ...{ upgrade: "forge-ring", "x-a": "b: c", "x-twice": undefined },
          });
          expect([...found.rest]).toEqual([...rest.subarray(0, at - head.length)]);
          return;
        }
        expect.fail("no head");
      }),
    );
  });

  test.each([
    ["no HTTP", "SSH-2.0-OpenSSH\r\n\r\n", 0],
    ["another HTTP", "HTTP/2 101\r\n\r\n", 0],
    ["four digits", "HTTP/1.1 1010\r\n\r\n", 0],
    ["no end", "HTTP/1.1 101 ".padEnd(9_000, "x"), 0],
    ["a refusal", "HTTP/1.1 425 Too Early\r\n\r\n", 425],
    ["no reason", "HTTP/1.1 503\r\n\r\n", 503],
  ])("is told from %s", (_name, text, status) => {
    expect(new HttpHeadReader().read(Buffer.from(text))?.status).toBe(status);
  });

  test("is waited for no longer than 8 KiB, and cannot reach what all objects have", () => {
    const reader = new HttpHeadReader();
    let bytes = 0;
    while (!reader.read(new Uint8Array(100).fill(0x61))) bytes += 100;
    expect(bytes).toBeLessThanOrEqual(8_192);
    const proto = new HttpHeadReader().read(Buffer.from("HTTP/1.1 101 a\r\n__proto__: x\r\n\r\n"));
    expect(proto?.headers["toString"]).toBeUndefined();
  });
});
