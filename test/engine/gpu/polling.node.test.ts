import { readFileSync } from "node:fs";
import { setImmediate as hostImmediate } from "node:timers";
import { beforeAll, describe, expect, test } from "vitest";
import { compile, type Device, matmul, sum, type Tensor, tensor } from "../../../engine/index.ts";
import { device, randoms } from "../../support/gpu.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/** CPU seconds of the thread that runs JavaScript; the adapter's own threads do not count. */
function javascriptSeconds(): number {
  const stat = readFileSync(`/proc/self/task/${process.pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Starts products for half a second on a software adapter, and waits for nothing. */
async function longWork(): Promise<() => void> {
  const run = compile((x: Tensor) => {
    let y = x;
    for (let i = 0; i < 30; i++) y = matmul(y, x);
    return sum(y);
  });
  const data = randoms(1).floats(512 * 512, -0.01, 0.01);
  const x = tensor(data, [512, 512]);
  await (await run(x)).read();
  const plan = await run.plan(x);
  return () => plan.run([data]);
}

/** What waiting costs JavaScript's thread over half a second of work or more. */
async function costOf(start: () => void, wait: () => Promise<unknown>): Promise<Cost> {
  const own = globalThis.setImmediate;
  let [cpu, wall, turns] = [0, 0, 0];
  const counting = (...args: Parameters<typeof setImmediate>): NodeJS.Immediate => {
    turns++;
    return own(...args);
  };
  // the package asks for its next turn by this name, and the engine by the function that it finds there
  globalThis.setImmediate = counting as typeof setImmediate;
  try {
    while (wall < 0.5) {
      start();
      const [cpuBefore, wallBefore] = [javascriptSeconds(), performance.now()];
      await wait();
      cpu += javascriptSeconds() - cpuBefore;
      wall += (performance.now() - wallBefore) / 1000;
    }
  } finally {
    globalThis.setImmediate = own;
  }
  return { share: cpu / wall, turnsPerSecond: turns / wall };
}

interface Cost {
  /** Share of a core. */
  readonly share: number;
  /** How often the package looked for results. */
  readonly turnsPerSecond: number;
}

describe("waiting for the GPU", () => {
  // load on the machine only lowers both numbers; without naps there are ten times as many turns, and a core is gone
  test.runIf(process.platform === "linux")("leaves the core to the adapter", async () => {
    const start = await longWork();
    const { share, turnsPerSecond } = await costOf(start, () => gpu.idle());
    expect(turnsPerSecond).toBeGreaterThan(10);
    expect(turnsPerSecond).toBeLessThan(6000);
    expect(share).toBeLessThan(0.5);
  });

  test("shows the host its own setImmediate, at every moment", async () => {
    const start = await longWork();
    const seen = new Set<unknown>();
    const look = (): void => {
      seen.add(globalThis.setImmediate);
    };
    start();
    const waiting = gpu.idle().then(look);
    look();
    queueMicrotask(look);
    const timer = setInterval(look, 1);
    let isDone = false;
    let turns = 0;
    const spin = (): void => {
      look();
      turns++;
      if (!isDone) setImmediate(spin);
    };
    setImmediate(spin);
    await waiting;
    isDone = true;
    clearInterval(timer);
    look();
    expect([...seen]).toEqual([hostImmediate]);
    expect(turns).toBeGreaterThan(10);
  });

  test("lets the host's timers run meanwhile", async () => {
    const start = await longWork();
    start();
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    const from = performance.now();
    await gpu.idle();
    const waited = performance.now() - from;
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(waited / 5 / 10);
  });

  test("sees a small result within a few milliseconds of asking", async () => {
    const x = tensor([1, 2, 3]);
    const times: number[] = [];
    for (let i = 0; i < 40; i++) {
      const from = performance.now();
      await sum(x).read();
      times.push(performance.now() - from);
    }
    const median = times.sort((a, b) => a - b)[20] as number;
    expect(median).toBeLessThan(20);
  });
});
