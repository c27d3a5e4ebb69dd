import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { ForgeError } from "../../../engine/error.ts";
import { type Manifest, manifestText } from "../../../src/train/checkpoint/manifest.ts";
import { latestCheckpoint, readCheckpoint } from "../../../src/train/checkpoint/read.ts";
import { writeCheckpoint } from "../../../src/train/checkpoint/write.ts";
import { contentsOf } from "../../support/checkpoint-contents.ts";
import { temporaryFolder } from "../../support/checkpoints.ts";
import { errorOf } from "../../support/errors.ts";

const folder = temporaryFolder("corrupt");
const whole = join(folder, "whole");
const POLICY = "policy.safetensors";
const FILES = ["manifest.json", "optimizer.safetensors", POLICY, "state.json"];

beforeAll(async () => {
  await writeCheckpoint(whole, 1, contentsOf(1));
  await writeCheckpoint(whole, 2, contentsOf(2));
});

let copies = 0;

/** A copy of the directory whose newest checkpoint is damaged. */
function damaged(damage: (step: string) => void): string {
  const copy = join(folder, `copy-${copies++}`);
  cpSync(whole, copy, { recursive: true });
  damage(join(copy, "step-000002"));
  return copy;
}

/** The error of a damaged checkpoint, which the one before it takes the place of. */
async function errorOfDamaged(damage: (step: string) => void): Promise<ForgeError> {
  const directory = damaged(damage);
  const error = (await errorOf(readCheckpoint(join(directory, "step-000002")))) as ForgeError;
  expect(error).toMatchObject({ code: "checkpoint_invalid" });
  expect(error.hint).toBeTruthy();
  expect(error.message).toContain("step-000002");
  const warnings: string[] = [];
  await using latest = await latestCheckpoint(directory, {
    onInvalid: ({ message }) => warnings.push(message),
  });
  expect(latest?.step).toBe(1);
  expect(warnings).toEqual([error.message]);
  rmSync(directory, { recursive: true });
  return error;
}

function flip(file: string, at: number, bit: number): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] as number) ^ (1 << bit);
  writeFileSync(file, bytes);
}

/** Writes another manifest, whose digest is right. */
function remanifest(step: string, change: (manifest: Manifest) => Manifest): void {
  const file = join(step, "manifest.json");
  writeFileSync(file, manifestText(change(JSON.parse(readFileSync(file, "utf8")))));
}

/** The manifest with another file in it. */
function withFile(name: string): (step: string) => void {
  const record = { bytes: 0, sha256: "0".repeat(64) };
  return (step) =>
    remanifest(step, (manifest) => ({
      ...manifest,
      files: { ...manifest.files, [name]: record },
    }));
}

describe("a damaged checkpoint is refused, and the one before it taken", () => {
  it.each(FILES)("%s with a flipped bit", async (name) => {
    const { length } = readFileSync(join(whole, "step-000002", name));
    const header = 8 + readFileSync(join(whole, "step-000002", POLICY)).readUInt32LE(0);
    const places = [0, 7, 8, 9, header - 1, header, length >> 1, length - 2];
    for (const at of new Set(places.filter((place) => place < length))) {
      const { message } = await errorOfDamaged((step) => flip(join(step, name), at, at % 8));
      expect(message).toContain(name);
    }
  });

  it("a manifest with any bit flipped", async () => {
    const directory = damaged(() => {});
    const step = join(directory, "step-000002");
    const file = join(step, "manifest.json");
    const { length } = readFileSync(file);
    for (let at = 0; at < length; at++) {
      flip(file, at, at % 7);
      const error = await errorOf(readCheckpoint(step));
      expect(error, `byte ${at}`).toMatchObject({ code: "checkpoint_invalid" });
      flip(file, at, at % 7);
    }
    await (await readCheckpoint(step)).close();
  });

  it.each(FILES)("%s cut off, grown, empty, missing, a folder, a link", async (name) => {
    const file = (step: string): string => join(step, name);
    const damages: Record<string, (step: string) => void> = {
      cut: (step) => truncateSync(file(step), readFileSync(file(step)).length - 1),
      grown: (step) => writeFileSync(file(step), " ", { flag: "a" }),
      empty: (step) => truncateSync(file(step)),
      missing: (step) => rmSync(file(step)),
      folder: (step) => {
        rmSync(file(step));
        mkdirSync(file(step));
      },
      link: (step) => {
        renameSync(file(step), `${step}/../elsewhere`);
        symlinkSync("../elsewhere", file(step));
      },
      dangling: (step) => {
        rmSync(file(step));
        symlinkSync("nowhere", file(step));
      },
    };
    for (const [kind, damage] of Object.entries(damages)) {
      expect((await errorOfDamaged(damage)).message, kind).toContain(name);
    }
  });

  it("a folder without files, and a file instead of one", async () => {
    await errorOfDamaged((step) => {
      for (const name of readdirSync(step)) rmSync(join(step, name));
    });
    await errorOfDamaged((step) => {
      rmSync(step, { recursive: true });
      writeFileSync(step, "");
    });
  });

  it.each([
    "../step-000001/state.json",
    "/etc/passwd.json",
    "..",
    "a/b.json",
    "a\\b.json",
    "",
    ".json",
    "Policy.safetensors",
    "policy.safetensors.exe",
    "a\0.json",
    "__proto__",
    "policy.safetensors\n",
    `${"a".repeat(65)}.json`,
  ])("a manifest with a file called %j", async (name) => {
    const { message } = await errorOfDamaged(withFile(name));
    expect(message).toContain("manifest.json");
  });

  it("a manifest of another step, of another format, without the state", async () => {
    const other = await errorOfDamaged((step) => remanifest(step, (m) => ({ ...m, step: 3 })));
    expect(other.message).toContain("step 3");
    const future = await errorOfDamaged((step) => {
      const file = join(step, "manifest.json");
      const manifest = { ...JSON.parse(readFileSync(file, "utf8")), format: 2, shards: [] };
      writeFileSync(file, JSON.stringify(manifest));
    });
    expect(future.message).toContain("format 2");
    expect(future.hint).toContain("version");
    const bare = await errorOfDamaged((step) =>
      remanifest(step, ({ files, ...rest }) => ({
        ...rest,
        files: { [POLICY]: files[POLICY] as Manifest["files"][string] },
      })),
    );
    expect(bare.message).toContain("state.json");
  });

  it("a manifest that is no manifest", async () => {
    for (const text of ["null", "[]", "7", "{}", '{"format":1}', "{".repeat(5000), "\0"])
      await errorOfDamaged((step) => writeFileSync(join(step, "manifest.json"), text));
    const huge = await errorOfDamaged((step) =>
      writeFileSync(join(step, "manifest.json"), Buffer.alloc(2 ** 21, 0x20)),
    );
    expect(huge.message).toContain("too large");
  });
});

describe("checkpoints none of which can be used", () => {
  it("are an error: a run does not begin anew by itself", async () => {
    const directory = damaged((step) => {
      flip(join(step, POLICY), 300, 1);
      truncateSync(join(step, "../step-000001/state.json"), 3);
    });
    const warnings: string[] = [];
    const onInvalid = ({ message }: Error): number => warnings.push(message);
    const error = await errorOf(latestCheckpoint(directory, { onInvalid }));
    expect(error).toMatchObject({ code: "checkpoint_invalid" });
    for (const part of ["step-000002", POLICY, "step-000001", "state.json"])
      expect(error.message).toContain(part);
    expect(warnings).toHaveLength(2);
  });

  it("are a warning of the process unless somebody listens", async () => {
    const directory = damaged((step) => flip(join(step, POLICY), 300, 1));
    const warned = new Promise<Error>((done) => process.once("warning", done));
    await (await readCheckpoint(directory)).close();
    expect((await warned).message).toContain(POLICY);
  });
});

describe("a checkpoint that was read", () => {
  it("stays what was verified, whatever becomes of its folder", async () => {
    const directory = damaged(() => {});
    const step = join(directory, "step-000002");
    await using read = await readCheckpoint(step);
    rmSync(step, { recursive: true });
    let values: number[] = [];
    for await (const piece of read.tensors.get("policy")?.pieces("weight") ?? [])
      values = [...values, ...piece];
    expect(values).toHaveLength(300);
    expect(values[0]).toBe(2);
  });

  it("may have any name that is no other step's", async () => {
    const directory = damaged((step) => renameSync(step, `${step}/../favourite`));
    await using read = await readCheckpoint(join(directory, "favourite"));
    expect(read.step).toBe(2);
    expect(basename(read.path)).toBe("favourite");
    const other = damaged((step) => {
      rmSync(`${step}/../step-000001`, { recursive: true });
      renameSync(step, `${step}/../step-000001`);
    });
    const error = await errorOf(readCheckpoint(join(other, "step-000001")));
    expect(error).toMatchObject({ code: "checkpoint_invalid" });
  });

  it("may have files beside it that are none of it", async () => {
    const directory = damaged((step) => writeFileSync(join(step, "notes.txt"), "good one"));
    await using read = await readCheckpoint(join(directory, "step-000002"));
    expect([...read.tensors.keys()]).toEqual(["policy", "optimizer"]);
  });
});
