/** What keeps WebGPU from this page, in words that help. */

/** Why nothing can be trained here, and what to do. */
export interface Obstacle {
  readonly title: string;
  readonly why: string;
  readonly steps: readonly string[];
}

const CHROME_ON_A_CPU = "chrome --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader";

/** The adapter's name, or what is in the way. */
export async function webGpuHere(): Promise<{ adapter: string } | { obstacle: Obstacle }> {
  if (location.protocol === "file:") return { obstacle: OPENED_AS_FILE };
  if (!isSecureContext) return { obstacle: insecure() };
  if (!navigator.gpu) return { obstacle: NO_WEBGPU };
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  if (!adapter) return { obstacle: NO_ADAPTER };
  const { vendor, architecture, description, isFallbackAdapter } = adapter.info;
  const name = description || [vendor, architecture].filter(Boolean).join(" ") || "a GPU";
  const isSoftware = isFallbackAdapter || architecture === "swiftshader";
  return { adapter: isSoftware ? `${name}, which is the processor in a GPU's place: slow` : name };
}

const OPENED_AS_FILE: Obstacle = {
  title: "This page has to come from a server",
  why: "It was opened as a file, and browsers start no workers for files. Training runs in a worker.",
  steps: [
    "Run `npx forge-gpu demo`, and open the address that it prints.",
    "Or serve this folder with any file server, such as `python3 -m http.server`, and open http://localhost:8000.",
  ],
};

function insecure(): Obstacle {
  return {
    title: "This address is not secure",
    why: `Browsers offer WebGPU to secure pages only, and ${location.origin} is not one.`,
    steps: [
      "Open it through https.",
      "Or, if the server is this computer, use http://localhost in place of its name or number.",
    ],
  };
}

const NO_WEBGPU: Obstacle = {
  title: "This browser has no WebGPU",
  why: "Both agents are trained on the GPU, and WebGPU is how a page reaches it.",
  steps: [
    "Chrome and Edge have it from version 113 on Windows, macOS and ChromeOS, and from 121 on Android.",
    "On Linux, Chrome may need the flag chrome://flags/#enable-unsafe-webgpu.",
    "Safari has it from version 26, Firefox from 141 on Windows and 145 on Macs with Apple's chips.",
  ],
};

const NO_ADAPTER: Obstacle = {
  title: "This browser knows WebGPU, but offers no GPU",
  why: "It found no graphics card that it trusts: its driver is too old or blocked, graphics acceleration is switched off, or this is a remote or virtual machine.",
  steps: [
    "Switch on “Use graphics acceleration when available” in the browser's settings, and start it again.",
    "Update the graphics driver. In Chrome and Edge, chrome://gpu says what is blocked, and why.",
    `Without a graphics card, Chrome can compute on the processor, slowly: \`${CHROME_ON_A_CPU}\`.`,
  ],
};

/** What to tell of a run that failed, by the code of its error. */
export function failureWords(code: string, message: string): Obstacle {
  const known = FAILURES[code];
  if (known) return { ...known, why: `${known.why} (${withoutCode(message).split("\n", 1)[0]})` };
  return {
    title: "Training has stopped",
    why: withoutCode(message),
    steps: ["Go on from the last checkpoint below, or start over."],
  };
}

const GO_ON = "Go on from the last checkpoint below; one is kept every half minute.";

const FAILURES: Readonly<Record<string, Obstacle>> = {
  adapter_missing: NO_ADAPTER,
  device_lost: {
    title: "The browser took the GPU away",
    why: "That happens when the computer sleeps, a driver restarts, or memory runs out.",
    steps: [GO_ON],
  },
  out_of_memory: {
    title: "The GPU has no memory left",
    why: "Other tabs and programs use it too.",
    steps: ["Close some of them.", GO_ON],
  },
};

function withoutCode(message: string): string {
  return message.replace(/^\[\w+\] /, "");
}
