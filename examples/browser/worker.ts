/** The worker of a demo: it owns the GPU, and does what the page says, one thing after the other. */
import { type Device, ForgeError, openDevice, setDefaultDevice } from "forge-gpu";
import { CalculatorTraining } from "./calculator/training.ts";
import { CartPoleTraining } from "./cart-pole/training.ts";
import { checkpointContents, keepCheckpoint } from "./checkpoints.ts";
import type { Command, DemoName, ProgressOf, Report } from "./protocol.ts";
import type { Training } from "./training.ts";

/** How often a run that goes on is kept, so that a closed tab loses little. */
const KEEP_EVERY_MS = 30_000;

type Opening = Extract<Command, { readonly type: "open" }>;

const inbox: Command[] = [];
let wake = (): void => {};
addEventListener("message", ({ data }: MessageEvent<Command>) => {
  inbox.push(data);
  wake();
});

function tell(report: Report, transfer: Transferable[] = []): void {
  postMessage(report, { transfer });
}

/** Until a message comes, or that many milliseconds have passed. */
async function rest(ms = Number.POSITIVE_INFINITY): Promise<void> {
  if (inbox.length > 0 || ms <= 0) return;
  await new Promise<void>((resolve) => {
    wake = resolve;
    if (Number.isFinite(ms)) setTimeout(resolve, ms);
  });
}

/** A demo under way. */
class Demo {
  readonly #training: Training;
  readonly #opening: Opening;
  #activity: "training" | "paused" | "playing" = "paused";
  #stepMs = 0;
  #keptAt = performance.now();

  constructor(training: Training, opening: Opening) {
    this.#training = training;
    this.#opening = opening;
  }

  async serve(): Promise<never> {
    for (;;) {
      const command = inbox.shift();
      if (command) await this.#obey(command);
      else if (this.#activity === "training") await this.#train();
      else if (this.#activity === "playing")
        await this.#paced(async () => (await this.#training.play?.()) ?? 0);
      else await rest();
    }
  }

  async #obey(command: Command): Promise<void> {
    switch (command.type) {
      case "open":
        return;
      case "train":
      case "play":
        return this.#become(command.type === "train" ? "training" : "playing");
      case "pause":
        if (this.#activity === "training") await this.#keep();
        return this.#become("paused");
      case "pace":
        this.#stepMs = command.stepMs;
        return;
      case "keep":
        return this.#keep();
      case "download": {
        const { name, bytes } = await this.#training.download();
        return tell({ type: "file", name, bytes }, [bytes.buffer]);
      }
      case "push":
        return this.#training.push?.(command.velocity);
    }
  }

  async #train(): Promise<void> {
    if (!this.#training.isDone) {
      await this.#paced(async () => {
        await this.#training.step();
        return this.#stepMs;
      });
    }
    if (this.#training.isDone) {
      await this.#keep();
      this.#become("paused");
    } else if (performance.now() - this.#keptAt > KEEP_EVERY_MS) await this.#keep();
  }

  /** Does something, and waits until as long has passed as it says that it is to last. */
  async #paced(act: () => Promise<number>): Promise<void> {
    const started = performance.now();
    await rest((await act()) - (performance.now() - started));
  }

  #become(activity: "training" | "paused" | "playing"): void {
    this.#activity = activity;
    const isDone = activity === "paused" && this.#training.isDone;
    tell({ type: "doing", activity: isDone ? "done" : activity });
  }

  async #keep(): Promise<void> {
    this.#keptAt = performance.now();
    const { demo, seed } = this.#opening;
    try {
      const contents = await this.#training.save();
      if (contents === undefined) return;
      await keepCheckpoint({ demo, seed, label: this.#training.label }, contents);
      tell({ type: "kept" });
    } catch (error) {
      // training needs no storage: private windows have none
      if (error instanceof ForgeError) throw error;
      tell({ type: "kept", problem: messageOf(error) });
    }
  }
}

async function open(opening: Opening): Promise<Demo> {
  tell({ type: "doing", activity: "opening" });
  const device = await openDevice();
  setDefaultDevice(device);
  const { checkpoint } = opening;
  const from = checkpoint === undefined ? undefined : await checkpointContents(checkpoint);
  return new Demo(await openTraining(device, opening, from), opening);
}

async function openTraining(
  device: Device,
  { demo, seed, overrides }: Opening,
  from: unknown,
): Promise<Training> {
  const options = { device, seed, overrides, from };
  switch (demo) {
    case "cart-pole":
      return CartPoleTraining.open({ ...options, tell: telling<"cart-pole">() });
    case "calculator":
      return CalculatorTraining.open({ ...options, tell: telling<"calculator">() });
  }
}

function telling<Name extends DemoName>(): (progress: ProgressOf[Name]) => void {
  return (progress) => tell({ type: "progress", progress });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function main(): Promise<void> {
  try {
    await rest();
    const demo = await open(inbox.shift() as Opening);
    await demo.serve();
  } catch (error) {
    const code = error instanceof ForgeError ? error.code : "internal";
    tell({ type: "failed", code, message: messageOf(error) });
  }
}

void main();
