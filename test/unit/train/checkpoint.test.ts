import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { CheckpointContents } from "../../../src/train/checkpoint/contents.ts";
import { saveOffendingBatch } from "../../../src/train/checkpoint/failure.ts";
import { latestCheckpoint, readCheckpoint } from "../../../src/train/checkpoint/read.ts";
import { writeCheckpoint } from "../../../src/train/checkpoint/write.ts";
import { contentsOf } from "../../support/checkpoint-contents.ts";
import { listing, temporaryFolder, textOf, writtenText } from "../../support/checkpoints.ts";
import { errorOf, rejectionOf } from "../../support/errors.ts";

const folder = temporaryFolder("checkpoint");

/** The bits of f32 values. */
function bitsOf(values: Float32Array): number[] {
  return [...new Uint32Array(values.buffer, values.byteOffset, values.length)];
}

describe("a checkpoint", () => {
  it("is read as it was written", async () => {
    const directory = join(folder, "deep/in/a/run/checkpoints");
    const path = await writeCheckpoint(directory, 123, contentsOf(123));
    expect(path).toBe(join(directory, "step-000123"));
    expect(readdirSync(path).sort()).toEqual([
      ...["manifest.json", "optimizer.safetensors", "policy.safetensors", "state.json"],
    ]);
    for (const at of [path, directory, `${directory}/`]) {
      await using read = await readCheckpoint(at);
      expect(read.path).toBe(path);
      expect(await textOf(read)).toBe(await writtenText(123));
    }
  });

  it("keeps every bit of a float", async () => {
    const patterns = Uint32Array.of(
      ...[0, 0x8000_0000, 1, 0x8000_0001, 0x7f80_0000, 0xff80_0000, 0x7f7f_ffff, 0x0080_0000],
      ...[0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 0x7fbf_ffff, 0x3f80_0001],
    );
    const data = new Float32Array(patterns.buffer);
    const tensors = { policy: { tensors: [tensorOf("w", data)] } };
    const path = await writeCheckpoint(join(folder, "bits"), 0, { tensors, state: {} });
    await using read = await readCheckpoint(path);
    for await (const piece of read.tensors.get("policy")?.pieces("w") ?? [])
      expect(bitsOf(piece as Float32Array)).toEqual([...patterns]);
    expect.assertions(1);
  });

  it("asks for one tensor's data when that of the one before is written", async () => {
    const directory = join(folder, "in-turn");
    const sizes: number[] = [];
    const written = (): number => {
      const [draft = ""] = readdirSync(directory);
      return readFileSync(join(directory, draft, "policy.safetensors")).length;
    };
    const tensors = ["a", "b", "c"].map((name) => ({
      ...tensorOf(name, new Float32Array(1000)),
      data: () => {
        sizes.push(written());
        return new Float32Array(1000);
      },
    }));
    await writeCheckpoint(directory, 1, { tensors: { policy: { tensors } }, state: {} });
    const [header = 0] = sizes;
    expect(sizes).toEqual([header, header + 4000, header + 8000]);
  });

  it("takes the place of one of the same step", async () => {
    const directory = join(folder, "again");
    await writeCheckpoint(directory, 7, contentsOf(6));
    await writeCheckpoint(directory, 7, contentsOf(7));
    await using read = await readCheckpoint(directory);
    expect(await textOf(read)).toBe(await writtenText(7));
    expect(readdirSync(directory)).toEqual(["step-000007"]);
  });

  it("is found by its step, not by the order of names or times", async () => {
    const directory = join(folder, "order");
    for (const step of [1_000_000, 999_999, 2])
      await writeCheckpoint(directory, step, contentsOf(step));
    for (const name of ["step-0000003", "step-3", "step-000003x", ".step-9999999", "best.json"])
      mkdirSync(join(directory, name));
    await using read = await latestCheckpoint(directory);
    expect(read?.step).toBe(1_000_000);
  });

  it("is none where there is none", async () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    for (const at of [join(folder, "nowhere"), file, temporary("empty")]) {
      expect(await latestCheckpoint(at)).toBeUndefined();
      const error = await errorOf(readCheckpoint(at));
      expect(error).toMatchObject({ code: "checkpoint_invalid" });
      expect(error.message).toContain(at);
    }
  });

  it("is not written from a state that JSON would change, and says where", async () => {
    const directory = join(folder, "odd-states");
    const bad: [object, string][] = [
      [{ best: Number.NaN }, "state.best"],
      [{ a: [{ b: [0, Number.POSITIVE_INFINITY] }] }, "state.a[0].b[1]"],
      [{ seen: new Map() }, "state.seen"],
      [{ ids: Uint32Array.of(1) }, "state.ids"],
      [{ at: new Date(0) }, "state.at"],
      [{ count: 1n }, "state.count"],
      [{ list: [undefined] }, "state.list[0]"],
      [{ call: () => 0 }, "state.call"],
    ];
    for (const [state, at] of bad) {
      const error = await errorOf(writeCheckpoint(directory, 1, { tensors: {}, state }));
      expect(error).toMatchObject({ code: "argument_invalid" });
      expect(error.message).toContain(at);
    }
    await writeCheckpoint(directory, 1, { tensors: {}, state: { absent: undefined, zero: 0 } });
    await using read = await readCheckpoint(directory);
    expect(read.state).toEqual({ zero: 0 });
  });

  it("is not written under names that are none", async () => {
    const directory = join(folder, "odd-names");
    for (const name of ["../policy", "Policy", "", "a b", "a/b", "-", "manifest.json"]) {
      const contents = { tensors: { [name]: { tensors: [] } }, state: {} };
      expect(await rejectionOf(writeCheckpoint(directory, 1, contents))).toBe("argument_invalid");
    }
    for (const step of [-1, 0.5, Number.NaN, 2 ** 53])
      expect(await rejectionOf(writeCheckpoint(directory, step, contentsOf(1)))).toBe(
        "argument_invalid",
      );
    expect(await latestCheckpoint(directory)).toBeUndefined();
  });

  it("leaves what was there when its data cannot be had", async () => {
    const directory = join(folder, "failing");
    await writeCheckpoint(directory, 1, contentsOf(1));
    const before = listing(directory);
    const lost = new Error("the device is lost");
    const failing: CheckpointContents = {
      tensors: { policy: { tensors: [tensorOf("w", new Float32Array(9)), tensorOf("x", lost)] } },
      state: {},
    };
    for (const step of [1, 2])
      expect(await errorOf(writeCheckpoint(directory, step, failing))).toBe(lost);
    const short = { ...tensorOf("w", new Float32Array(3)), shape: [4] };
    const wrong = { tensors: { policy: { tensors: [short] } }, state: {} };
    expect(await rejectionOf(writeCheckpoint(directory, 2, wrong))).toBe("argument_invalid");
    expect(listing(directory)).toEqual(before);
  });
});

describe("the directory of checkpoints", () => {
  it("is rid of what killed writers have left, and of nothing else", async () => {
    const directory = temporary("leftovers");
    const dead = 2 ** 22 + 1; // above any process id
    const left = [
      `.step-000001.${hostname()}-${dead}.draft`,
      `.step-000009.${hostname()}-${process.pid}.draft`,
      `.step-000003.old`,
    ];
    const alive = `.step-000002.${hostname()}-${process.ppid}.draft`;
    const elsewhere = `.step-000002.another-machine-${dead}.draft`;
    const foreign = `.model.${hostname()}-${dead}.draft`;
    await writeCheckpoint(directory, 3, contentsOf(3));
    for (const name of [...left, alive, elsewhere, foreign]) {
      mkdirSync(join(directory, name));
      writeFileSync(join(directory, name, "policy.safetensors"), "half");
    }
    await writeCheckpoint(directory, 4, contentsOf(4));
    expect(readdirSync(directory).sort()).toEqual(
      [alive, elsewhere, foreign, "step-000003", "step-000004"].sort(),
    );
  });

  it("gives a checkpoint its name back whose replacement was killed half-way", async () => {
    const directory = join(folder, "put-aside");
    await writeCheckpoint(directory, 5, contentsOf(5));
    renameSync(join(directory, "step-000005"), join(directory, ".step-000005.old"));
    await using read = await latestCheckpoint(directory);
    expect(read?.step).toBe(5);
    expect(readdirSync(directory)).toEqual(["step-000005"]);
  });

  it("takes one writer of a step at a time in a process, and many of many steps", async () => {
    const directory = join(folder, "together");
    const steps = [1, 2, 3, 3, 4];
    const results = await Promise.allSettled(
      steps.map((step) => writeCheckpoint(directory, step, contentsOf(step))),
    );
    const refused = results.flatMap((r) => (r.status === "rejected" ? [r.reason.code] : []));
    expect(refused).toEqual(["state_conflict"]);
    for (const step of steps) {
      await using read = await readCheckpoint(join(directory, `step-00000${step}`));
      expect(await textOf(read)).toBe(await writtenText(step));
    }
    expect(readdirSync(directory)).toHaveLength(4);
  });
});

describe("the batch of a loss that is not finite", () => {
  it("is written whole, with what JSON has no numbers for", async () => {
    const run = temporary("run");
    const sample = {
      promptIds: [1, 2],
      responseIds: Int32Array.of(3, 4),
      reward: 0.5,
      advantages: Float32Array.of(Number.NaN, 1),
      trainerLogprobs: Float64Array.of(Number.NEGATIVE_INFINITY, -0.25),
    };
    const metrics = { "losses/policy_loss": Number.NaN, "losses/entropy": 1 };
    for (const samples of [[], [sample, { responseIds: [], reward: Number.POSITIVE_INFINITY }]]) {
      const path = await saveOffendingBatch(run, 12, { metrics, samples });
      expect(path).toBe(join(run, "failures/step-000012"));
      expect(JSON.parse(readFileSync(join(path, "step.json"), "utf8"))).toEqual({
        step: 12,
        metrics: { "losses/policy_loss": "NaN", "losses/entropy": 1 },
      });
    }
    const lines = readFileSync(join(run, "failures/step-000012/samples.jsonl"), "utf8").split("\n");
    expect(lines.pop()).toBe("");
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      {
        ...{ promptIds: [1, 2], responseIds: [3, 4], reward: 0.5, advantages: ["NaN", 1] },
        trainerLogprobs: ["-Infinity", -0.25],
      },
      { responseIds: [], reward: "Infinity" },
    ]);
  });
});

function tensorOf(name: string, data: Float32Array | Error) {
  return {
    name,
    dtype: "F32" as const,
    shape: [data instanceof Error ? 1 : data.length],
    data: () => {
      if (data instanceof Error) throw data;
      return data;
    },
  };
}

function temporary(name: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}
