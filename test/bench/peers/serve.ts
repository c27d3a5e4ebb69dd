/**
 * One engine in a process of its own: `serve.ts <setup as JSON>`. The parent names tasks, then asks for blocks of them; a
 * block is timed here, so that messages are no part of it.
 */
import { checkTraining } from "../../../src/bench/decoder-data.ts";
import { checkProduct, type MatmulSpec, matmulOperands } from "../../../src/bench/matmul.ts";
import { type Block, type Contender, contender } from "../../../src/bench/measure.ts";
import { provideWebGpu, provideWorkers } from "./browser-globals.ts";
import type { PeerEngine, Run } from "./engine.ts";
import { openJax } from "./jax.ts";
import { pacePolling } from "./polling.ts";
import { openTfjs } from "./tfjs.ts";

/** How the engine is run. */
export interface PeerSetup {
  readonly engine: "tfjs" | "jax";
  readonly backend: "webgpu" | "wasm";
  /** Wait without spinning, and with forge-gpu's Dawn toggles; else as the packages are shipped. */
  readonly isPaced: boolean;
  readonly toggles: readonly string[];
  readonly version: string;
  /** Bundle of TensorFlow.js. */
  readonly bundle: string;
}

/** What the parent asks for. Tasks are numbered from 0 in the order in which they are named. */
export type Request =
  | { readonly kind: "matmul"; readonly spec: MatmulSpec }
  | { readonly kind: "train" }
  | { readonly kind: "block"; readonly task: number; readonly calls: number };

/** The answer. */
export type Reply =
  | { readonly kind: "ready"; readonly task: number }
  | { readonly kind: "block"; readonly block: Block }
  | { readonly kind: "failed"; readonly message: string };

async function open(setup: PeerSetup): Promise<PeerEngine> {
  const { engine, backend, isPaced, toggles, version, bundle } = setup;
  if (isPaced) pacePolling();
  if (backend === "webgpu") provideWebGpu(isPaced ? toggles : []);
  else provideWorkers();
  return engine === "tfjs" ? openTfjs(bundle) : openJax(backend, version);
}

const setup = JSON.parse(process.argv[2] ?? "{}") as PeerSetup;
const engine = open(setup);
engine.catch(() => undefined); // the first request reports it
const tasks: Contender[] = [];

async function answer(request: Request): Promise<Reply> {
  switch (request.kind) {
    case "block": {
      const task = tasks[request.task];
      if (!task) throw new Error(`there is no task ${request.task}`);
      return { kind: "block", block: await task.block(request.calls) };
    }
    case "matmul": {
      const { run, result } = await (await engine).matmul(request.spec);
      checkProduct(request.spec, matmulOperands(request.spec), result);
      return noted(run);
    }
    case "train": {
      const { run, result } = await (await engine).train();
      checkTraining(setup.engine, result);
      return noted(run);
    }
  }
}

function noted(run: Run): Reply {
  tasks.push(contender(setup.engine, run));
  return { kind: "ready", task: tasks.length - 1 };
}

process.on("message", (request: Request) => {
  void answer(request)
    .catch((error): Reply => ({ kind: "failed", message: String(error?.stack ?? error) }))
    .then((reply) => process.send?.(reply));
});
process.on("disconnect", () => process.exit(0));
