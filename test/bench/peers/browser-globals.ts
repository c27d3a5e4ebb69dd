/** What engines made for browsers expect to find: `navigator.gpu`, and `Worker`. */
import { resolveObjectURL } from "node:buffer";
import { cpus } from "node:os";
import { Worker as NodeWorker } from "node:worker_threads";
import { create, globals } from "webgpu";

const USER_AGENT =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

/** The device that the engine has opened, to wait for; and the objects that must not be collected before it. */
const opened: { device?: GPUDevice; keep: unknown[] } = { keep: [] };

/** Makes Dawn the browser's WebGPU, with the toggles that forge-gpu runs with. */
export function provideWebGpu(toggles: readonly string[]): void {
  Object.assign(globalThis, globals);
  const gpu = create(toggles.length > 0 ? [`enable-dawn-features=${toggles.join(",")}`] : []);
  opened.keep.push(gpu);
  const requestAdapter = async (
    options: GPURequestAdapterOptions = {},
  ): Promise<GPUAdapter | null> => {
    const { powerPreference } = options;
    const adapter = await gpu.requestAdapter(powerPreference ? { powerPreference } : {});
    if (!adapter) return null;
    const requestDevice = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (descriptor: GPUDeviceDescriptor = {}) => {
      const requiredFeatures = [...(descriptor.requiredFeatures ?? [])].flat();
      opened.device = await requestDevice({ ...descriptor, requiredFeatures });
      opened.keep.push(adapter, opened.device);
      return opened.device;
    };
    return adapter;
  };
  provideNavigator({
    gpu: {
      requestAdapter,
      getPreferredCanvasFormat: () => "bgra8unorm",
      wgslLanguageFeatures: gpu.wgslLanguageFeatures,
    },
  });
}

/** Resolves when the adapter has done all that was submitted. */
export async function adapterIdle(): Promise<void> {
  await opened.device?.queue.onSubmittedWorkDone();
}

/** Lets an engine start threads. Without this its WASM code runs on one. */
export function provideWorkers(): void {
  provideNavigator({});
  Object.assign(globalThis, { Worker: BlobWorker });
}

function provideNavigator(more: object): void {
  const navigator = {
    userAgent: USER_AGENT,
    hardwareConcurrency: cpus().length,
    platform: "Linux x86_64",
    language: "en",
    ...more,
  };
  Object.defineProperty(globalThis, "navigator", {
    value: navigator,
    configurable: true,
    writable: true,
  });
}

/** The browser's names for what a thread of Node has. */
const PRELUDE = `
const { parentPort } = require("node:worker_threads");
globalThis.self = globalThis;
self.postMessage = (message) => parentPort.postMessage(message);
parentPort.on("message", (data) => (self.onmessage ?? globalThis.onmessage)({ data }));
`;

/** A browser's `Worker` made from a blob URL, over a thread of Node. */
class BlobWorker {
  onmessage: ((event: { data: unknown }) => void) | undefined;
  onerror: ((error: unknown) => void) | undefined;
  #thread: NodeWorker | undefined;
  #early: unknown[] | undefined = [];

  constructor(url: string) {
    void this.#start(url);
  }

  postMessage(message: unknown): void {
    if (this.#early) this.#early.push(message);
    else this.#thread?.postMessage(message);
  }

  terminate(): void {
    void this.#thread?.terminate();
  }

  async #start(url: string): Promise<void> {
    const source = (await resolveObjectURL(String(url))?.text()) ?? "";
    this.#thread = new NodeWorker(PRELUDE + source, { eval: true });
    this.#thread.on("message", (data) => this.onmessage?.({ data }));
    this.#thread.on("error", (error) => this.onerror?.(error));
    for (const message of this.#early ?? []) this.#thread.postMessage(message);
    this.#early = undefined;
  }
}
