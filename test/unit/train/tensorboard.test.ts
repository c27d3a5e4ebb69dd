import { readdirSync, readFileSync, truncateSync } from "node:fs";
import { join } from "node:path";
import protobuf from "protobufjs";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { TensorboardWriter } from "../../../src/train/run/metrics-files.ts";
import { RunDirectory } from "../../../src/train/run/run-directory.ts";
import { description, useRuns } from "./runs.ts";

const runs = useRuns();

/** From tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto, what is used of them. */
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Summary {
    message Value {
      string node_name = 7;
      string tag = 1;
      oneof value { float simple_value = 2; bytes obsolete_old_style_histogram = 3; }
    }
    repeated Value value = 1;
  }
  message SessionLog {
    enum SessionStatus { STATUS_UNSPECIFIED = 0; START = 1; STOP = 2; CHECKPOINT = 3; }
    SessionStatus status = 1;
    string checkpoint_path = 2;
    string msg = 3;
  }
  message Event {
    double wall_time = 1;
    int64 step = 2;
    oneof what {
      string file_version = 3;
      bytes graph_def = 4;
      Summary summary = 5;
      SessionLog session_log = 7;
    }
  }`);
const EventType = root.lookupType("Event");

interface Event {
  readonly wallTime: number;
  readonly step?: number;
  readonly fileVersion?: string;
  readonly summary?: { readonly value: readonly { tag: string; simpleValue: number }[] };
  readonly sessionLog?: { readonly status: string };
}

/** CRC-32C bit by bit, as RFC 3720 defines it: the polynomial 0x1edc6f41, reflected. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1n) ^ (crc & 1n ? 0x82f63b78n : 0n);
  }
  return Number(crc ^ 0xffffffffn);
}

function unmasked(masked: number): number {
  const rotated = BigInt(masked) - 0xa282ead8n + 0x1_0000_0000n;
  return Number((((rotated & 0xffffffffn) >> 17n) | (rotated << 15n)) & 0xffffffffn);
}

/** The whole records of a file, each with both of its checks. */
function eventsOf(path: string): readonly Event[] {
  const bytes = readFileSync(path);
  const events: Event[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(unmasked(bytes.readUInt32LE(at + 8))).toBe(crc32c(bytes.subarray(at, at + 8)));
    expect(unmasked(bytes.readUInt32LE(at + 12 + length))).toBe(crc32c(data));
    const options = { longs: Number, enums: String };
    events.push(EventType.toObject(EventType.decode(data), options) as Event);
    at += 16 + length;
  }
  return events;
}

/** The event files of a directory in the order in which readers take them. */
const filesIn = (directory: string): readonly string[] =>
  readdirSync(directory)
    .filter((name) => name.startsWith("events.out.tfevents."))
    .sort()
    .map((name) => join(directory, name));

/** What TensorBoard shows of a tag: a START makes it forget its step and later ones. */
function curve(directory: string, tag: string): readonly (readonly [number, number])[] {
  let points: (readonly [number, number])[] = [];
  for (const { step = 0, summary, sessionLog } of filesIn(directory).flatMap(eventsOf)) {
    if (sessionLog?.status === "START") points = points.filter(([at]) => at < step);
    for (const value of summary?.value ?? [])
      if (value.tag === tag) points.push([step, value.simpleValue]);
  }
  return points;
}

describe("the check itself", () => {
  it("knows CRC-32C", () => {
    expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa); // RFC 3720, B.4
  });
});

describe("an event file", () => {
  let path = "";
  beforeEach(() => {
    const writer = new TensorboardWriter(runs());
    writer.write(1, { "losses/policy_loss": -0.1, "reward/mean": 0.5 }, 1700000000.125);
    writer.write(300, { "losses/grad_norm": Number.NaN, größe: 1e30 }, 1700000001);
    writer.write(2 ** 40 + 1, {}, 1700000002);
    writer.flush();
    writer.close();
    path = filesIn(runs())[0] ?? "";
  });

  it("begins with the version, and has what was written", () => {
    const [version, ...events] = eventsOf(path);
    expect(version?.fileVersion).toBe("brain.Event:2");
    expect(events).toEqual([
      {
        wallTime: 1700000000.125,
        step: 1,
        summary: {
          value: [
            { tag: "losses/policy_loss", simpleValue: Math.fround(-0.1) },
            { tag: "reward/mean", simpleValue: 0.5 },
          ],
        },
      },
      {
        wallTime: 1700000001,
        step: 300,
        summary: {
          value: [
            { tag: "losses/grad_norm", simpleValue: Number.NaN },
            { tag: "größe", simpleValue: Math.fround(1e30) },
          ],
        },
      },
      { wallTime: 1700000002, step: 2 ** 40 + 1, summary: {} },
    ]);
  });

  it("comes after all that are there, though the clock went back", () => {
    vi.useFakeTimers({ toFake: ["Date"], now: 1_000_000_000_000 });
    try {
      new TensorboardWriter(runs()).close();
      expect(filesIn(runs())[0]).toBe(path);
      expect(filesIn(runs())).toHaveLength(2);
    } finally {
      vi.useRealTimers();
    }
  });
});

it("a run that goes on replaces the steps after its checkpoint, whatever became of the first file", async () => {
  const run = RunDirectory.create(runs(), description());
  for (let step = 1; step <= 5; step++) await run.writeMetrics(step, { "reward/mean": step });
  await run.close();
  const again = RunDirectory.open(run.path);
  const { version, adapter, isDeterministic, nondeterminism } = again.record;
  const place = { version, adapter, isDeterministic, nondeterminism };
  again.rewind({ step: 3, checkpoint: "checkpoints/step-3", ...place });
  for (let step = 4; step <= 6; step++)
    await again.writeMetrics(step, { "reward/mean": 10 * step });
  await again.close();
  expect(curve(run.path, "reward/mean")).toEqual([
    [1, 1],
    [2, 2],
    [3, 3],
    [4, 40],
    [5, 50],
    [6, 60],
  ]);
});

it("a file that was torn fails the check", () => {
  const writer = new TensorboardWriter(runs());
  writer.write(1, { "reward/mean": 1 }, 1);
  writer.close();
  const path = filesIn(runs())[0] ?? "";
  truncateSync(path, readFileSync(path).length - 3);
  expect(() => eventsOf(path)).toThrow();
});
