/** CartPole on the page: the carts, the curve, and what there is to say about them. */
import { Curve } from "../curve.ts";
import { part } from "../elements.ts";
import type { Panel, View } from "../panel.ts";
import { CartPoleDrawing } from "./drawing.ts";
import { Playback } from "./playback.ts";
import {
  type CartPoleAt,
  type CartPoleProgress,
  type Frame,
  type ReturnPoint,
  SMOOTHED,
  TOTAL_STEPS,
} from "./progress.ts";

/** Before anything has happened: a cart in the middle, a pole that leans a little. */
const AT_REST: Frame = { positions: [0], angles: [0.05], ended: [] };
/** An update is 32 steps of 20 ms. */
const UPDATE_MS = 32 * 20;
/** Metres a second that a click on the canvas pushes the cart by. */
const PUSH = 0.8;

export class CartPoleView implements View<"cart-pole"> {
  readonly #panel: Panel<"cart-pole">;
  readonly #drawing: CartPoleDrawing;
  readonly #playback = new Playback();
  readonly #curve: Curve;
  #points: ReturnPoint[] = [];
  #drawnAt: number | undefined;

  constructor(panel: Panel<"cart-pole">) {
    this.#panel = panel;
    const canvas = part(panel.section, "canvas", HTMLCanvasElement);
    this.#drawing = new CartPoleDrawing(canvas, AT_REST);
    canvas.onpointerdown = ({ offsetX }) => {
      const isLeft = this.#drawing.positionOf(offsetX) < this.#drawing.positionOfFirst;
      // pushed away from the finger
      panel.send({ type: "push", velocity: isLeft ? PUSH : -PUSH });
    };
    this.#curve = new Curve(part(panel.section, "curve", HTMLElement), {
      across: "steps",
      range: [0, 520],
      marks: [0, 100, 200, 300, 400, 500],
      acrossRange: [0, TOTAL_STEPS],
      lines: [
        { label: "return", colour: "--pale", width: 1 },
        { label: `mean of ${SMOOTHED}`, colour: "--accent", width: 2.5 },
      ],
      format: (value) => value.toFixed(0),
    });
    this.clear();
  }

  clear(): void {
    this.#points = [];
    this.#playback.clear();
    this.#drawing.show([AT_REST], 0);
    this.#drawing.draw(0);
    this.#showCurve();
    this.#showFigures(undefined);
    this.#caption("");
  }

  stepMs(pace: string): number {
    if (pace === "full") return 0;
    return UPDATE_MS / Number(pace);
  }

  progress(progress: CartPoleProgress): void {
    switch (progress.kind) {
      case "history":
        this.#points = [...progress.points];
        this.#showFigures(progress.at);
        break;
      case "update":
        if (progress.point) this.#points.push(progress.point);
        this.#playback.push(progress.frames, performance.now());
        this.#caption("eight carts at practice; the first is drawn in full");
        this.#showFigures(progress.at);
        break;
      case "play":
        this.#playback.clear();
        this.#drawing.show([progress.frame], performance.now());
        this.#caption(`up for ${progress.seconds.toFixed(1)} s; click beside the cart to push it`);
    }
    if (progress.kind !== "play") this.#showCurve();
    this.#animate();
  }

  /** Draws until nothing moves any more. */
  #animate(): void {
    if (this.#drawnAt !== undefined) return;
    this.#drawnAt = performance.now();
    const draw = (): void => {
      const now = performance.now();
      const frames = this.#playback.take(now - (this.#drawnAt as number));
      this.#drawing.show(frames, now);
      this.#drawing.draw(now);
      const goesOn = this.#drawing.isMoving || this.#playback.isWaiting;
      this.#drawnAt = goesOn ? now : undefined;
      if (goesOn) requestAnimationFrame(draw);
    };
    requestAnimationFrame(draw);
  }

  #showCurve(): void {
    const returns = this.#points.map(({ meanReturn }) => meanReturn);
    this.#curve.show([
      this.#points.map(({ steps }) => steps),
      returns,
      returns.map((_, i) => mean(returns.slice(Math.max(0, i + 1 - SMOOTHED), i + 1))),
    ]);
  }

  #showFigures(at: CartPoleAt | undefined): void {
    const recent = this.#points.slice(-SMOOTHED).map(({ meanReturn }) => meanReturn);
    const set = (name: string, text: string): void => {
      part(this.#panel.section, name, HTMLElement).textContent = text;
    };
    const { steps = 0, seconds = 0 } = at ?? {};
    set("steps", steps.toLocaleString("en"));
    set("return", recent.length === 0 ? "–" : mean(recent).toFixed(0));
    set("speed", seconds > 0 ? Math.round(steps / seconds).toLocaleString("en") : "–");
    set("seconds", seconds > 0 ? `${seconds.toFixed(0)} s` : "–");
    set("comment", comment(recent.length === 0 ? undefined : mean(recent)));
  }

  #caption(text: string): void {
    part(this.#panel.section, "caption", HTMLElement).textContent = text;
  }
}

/** What a return means. */
function comment(recent: number | undefined): string {
  if (recent === undefined) return "Nothing has been learned yet.";
  const seconds = (recent / 50).toFixed(1);
  if (recent < 40)
    return `The pole is down after ${seconds} seconds: the pushes are as good as random.`;
  if (recent < 150)
    return `It stays up for ${seconds} seconds: a leaning pole is caught now, but clumsily.`;
  if (recent < 400)
    return `It stays up for ${seconds} seconds. What is left to learn is not to run off the track.`;
  return `It stays up for ${seconds} seconds of the 10 that an episode can last.`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
