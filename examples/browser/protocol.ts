/** What the page and the worker of a demo say to each other: plain data, which is cloned on its way. */
import type { CalculatorProgress } from "./calculator/progress.ts";
import type { CartPoleProgress } from "./cart-pole/progress.ts";

/** What each demo tells of its training. */
export interface ProgressOf {
  readonly "cart-pole": CartPoleProgress;
  readonly calculator: CalculatorProgress;
}

export type DemoName = keyof ProgressOf;

/** From the page to the worker. `open` is the first, and is said once. */
export type Command =
  | {
      readonly type: "open";
      readonly demo: DemoName;
      readonly seed: number;
      /** Settings of the calculator agent in place of its file's, as in `optimizer.lr=1e-3`. */
      readonly overrides: readonly string[];
      /** Number of a kept checkpoint to go on from. */
      readonly checkpoint?: number;
    }
  /** Train on, from where it is. */
  | { readonly type: "train" }
  /** Stop behind the step under way, and keep what there is. */
  | { readonly type: "pause" }
  /** A step takes no less than this, in milliseconds, so that people can follow. 0: as fast as it goes. */
  | { readonly type: "pace"; readonly stepMs: number }
  /** Keep a checkpoint in this browser. */
  | { readonly type: "keep" }
  /** Hand over the model as a file. */
  | { readonly type: "download" }
  /** Let the policy act, without learning. */
  | { readonly type: "play" }
  /** While it plays: somebody gives the cart a push, in metres a second. */
  | { readonly type: "push"; readonly velocity: number };

/** From the worker to the page. */
export type Report<Demo extends DemoName = DemoName> =
  | { readonly type: "progress"; readonly progress: ProgressOf[Demo] }
  | { readonly type: "doing"; readonly activity: Activity }
  /** The list of kept checkpoints has changed, or could not be. */
  | { readonly type: "kept"; readonly problem?: string }
  | { readonly type: "file"; readonly name: string; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: "failed"; readonly code: string; readonly message: string };

/** `done`: all steps of the run are taken. */
export type Activity = "opening" | "training" | "paused" | "playing" | "done";
