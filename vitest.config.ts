import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import { chromiumForTests } from "./src/setup/chromium.mjs";
import { embedShaders } from "./src/setup/embed-shaders.mjs";

embedShaders();

const at = (path: string): string => resolve(import.meta.dirname, path);
const chromium = chromiumForTests();

/** A software adapter compiles each kernel at its first dispatch: tens of milliseconds to a second apiece. */
const timeouts = { testTimeout: 120_000, hookTimeout: 120_000 };

/** One process and one device for all files: opening a device and compiling are what costs. */
const onOneDevice = {
  ...timeouts,
  exclude: ["test/{engine,src}/**/*.browser.test.ts"],
  isolate: false,
  fileParallelism: false,
  execArgv: ["--expose-gc"],
  sequence: { groupOrder: 1 },
};

export default defineConfig({
  assetsInclude: ["**/*.safetensors"],
  resolve: {
    alias: [
      { find: /^forge-gpu$/, replacement: at("src/index.ts") },
      { find: /^forge-gpu\/engine$/, replacement: at("engine/index.ts") },
      { find: /^forge-gpu\/cluster$/, replacement: at("cluster/index.ts") },
    ],
  },
  test: {
    projects: [
      {
        extends: true,
        test: {
          ...timeouts,
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [
            "**/node_modules/**",
            "test/{cluster,engine}/**",
            "test/src/{bench,cli-gpu,control-gpu,doctor,models,pool-gpu,rl-gpu,rollout,train-gpu}/**",
            "test/docs/**",
            "test/learning/**",
            "test/soak/**",
          ],
          // modules are loaded once a worker: a third of the time
          isolate: false,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          ...timeouts,
          name: "cluster",
          include: ["test/cluster/**/*.test.ts", "test/src/cli-gpu/cluster*.test.ts"],
          // the nodes' threads are of the sources
          execArgv: ["--import", pathToFileURL(at("test/support/tsx-in-threads.mjs")).href],
          isolate: false,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { ...onOneDevice, name: "engine", include: ["test/engine/**/*.test.ts"] },
      },
      {
        extends: true,
        test: {
          ...onOneDevice,
          name: "gpu",
          exclude: [...onOneDevice.exclude, "test/src/cli-gpu/cluster*.test.ts"],
          include: [
            "test/src/{bench,cli-gpu,control-gpu,doctor,models,pool-gpu,rl-gpu,rollout,train-gpu}/**/*.test.ts",
          ],
        },
      },
      {
        extends: true,
        test: {
          ...timeouts,
          name: "browser",
          include: ["test/{engine,src/rollout}/**/*.test.ts"],
          exclude: ["test/{engine,src}/**/*.node.test.ts"],
          isolate: false,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({
              launchOptions: {
                ...(chromium && { executablePath: chromium.path, env: chromium.env }),
                args: [
                  "--enable-unsafe-webgpu",
                  "--no-sandbox",
                  "--no-first-run",
                  "--disable-quic",
                  "--disable-sync",
                  "--disable-background-networking",
                  "--disable-component-update",
                ],
              },
            }),
            instances: [{ browser: "chromium" }],
          },
        },
      },
      {
        extends: true,
        test: {
          ...timeouts,
          name: "docs",
          include: ["test/docs/**/*.test.ts"],
          sequence: { groupOrder: 3 },
        },
      },
      {
        extends: true,
        test: {
          ...timeouts,
          name: "learning",
          include: ["test/learning/**/*.test.ts"],
          testTimeout: 1_800_000,
          isolate: false,
          fileParallelism: false,
          sequence: { groupOrder: 5 },
        },
      },
      {
        extends: true,
        test: {
          ...timeouts,
          name: "soak",
          include: ["test/soak/**/*.test.ts"],
          testTimeout: 1_800_000,
          isolate: false,
          fileParallelism: false,
          execArgv: ["--expose-gc"],
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
});
