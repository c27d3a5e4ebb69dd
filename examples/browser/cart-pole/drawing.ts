/** Carts and poles on a canvas, to scale: metres become pixels, radians stay radians. */
import { theme } from "../theme.ts";
import type { EndedCart, Frame } from "./progress.ts";

/** Metres of the world that are seen from side to side; the track ends at ±2.4. */
const SEEN = 5.4;
const TRACK_END = 2.4;
const POLE = 1;
const CART = { width: 0.46, height: 0.24 };
/** How long a pole is seen falling after its episode, in milliseconds. */
const FALL_MS = 600;
/** Of the other carts, beside the first. */
const PALE = 0.22;

interface Fallen extends EndedCart {
  readonly at: number;
}

interface Pose {
  readonly position: number;
  readonly angle: number;
}

/** What is seen: the first cart in full, the others pale behind it, and poles that fall. */
export class CartPoleDrawing {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  #frame: Frame;
  #fallen: Fallen[] = [];
  #metre = 0;

  constructor(canvas: HTMLCanvasElement, first: Frame) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d") as CanvasRenderingContext2D;
    this.#frame = first;
    new ResizeObserver(() => this.draw(performance.now())).observe(canvas);
    theme.onChange(() => this.draw(performance.now()));
  }

  /** Whether something still falls. */
  get isMoving(): boolean {
    return this.#fallen.length > 0;
  }

  /** Where a point of the canvas is on the track, in metres. */
  positionOf(offsetX: number): number {
    return (offsetX / this.#canvas.clientWidth - 0.5) * SEEN;
  }

  get positionOfFirst(): number {
    return this.#frame.positions[0] ?? 0;
  }

  /** Goes on to the last of some frames. */
  show(frames: readonly Frame[], now: number): void {
    this.#frame = frames.at(-1) ?? this.#frame;
    for (const { ended } of frames)
      this.#fallen.push(...ended.filter((e) => !e.hasStood).map((e) => ({ ...e, at: now })));
  }

  draw(now: number): void {
    this.#fallen = this.#fallen.filter(({ at }) => now - at < FALL_MS);
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const density = devicePixelRatio;
    this.#canvas.width = Math.round(width * density);
    this.#canvas.height = Math.round(height * density);
    const context = this.#context;
    context.scale(density, density);
    this.#metre = width / SEEN;
    context.translate(width / 2, height - 0.62 * this.#metre);
    context.lineCap = "round";
    this.#track(width);
    for (const fallen of this.#fallen) this.#falling(fallen, now);
    const { positions, angles } = this.#frame;
    for (let n = positions.length - 1; n >= 0; n--) {
      context.globalAlpha = n === 0 ? 1 : PALE;
      this.#cart({ position: positions[n] as number, angle: angles[n] as number }, "--ink");
    }
    context.globalAlpha = 1;
  }

  #track(width: number): void {
    const context = this.#context;
    const below = (CART.height / 2 + 0.09) * this.#metre;
    const end = TRACK_END * this.#metre;
    context.strokeStyle = theme.colour("--line");
    context.lineWidth = 1;
    stroke(context, [-width / 2, below], [width / 2, below]);
    context.strokeStyle = theme.colour("--muted");
    context.lineWidth = 2;
    stroke(context, [-end, below], [end, below]);
    for (const x of [-end, end]) stroke(context, [x, below - 6], [x, below + 6]);
  }

  /** An episode is over at 12°; what follows is only how it would go on. */
  #falling({ position, angle, cart, at }: Fallen, now: number): void {
    const age = (now - at) / FALL_MS;
    const fallen = angle + Math.sign(angle) * (Math.PI / 2 - Math.abs(angle)) * age ** 2;
    this.#context.globalAlpha = (1 - age) * (cart === 0 ? 0.7 : PALE);
    this.#cart({ position, angle: fallen }, "--failure");
    this.#context.globalAlpha = 1;
  }

  #cart({ position, angle }: Pose, colour: `--${string}`): void {
    const context = this.#context;
    const metre = this.#metre;
    const [width, height] = [CART.width * metre, CART.height * metre];
    const x = position * metre;
    context.fillStyle = theme.colour(colour);
    context.beginPath();
    context.roundRect(x - width / 2, -height / 2, width, height, 0.05 * metre);
    for (const side of [-0.13, 0.13]) {
      const wheel = x + side * metre;
      context.moveTo(wheel, height / 2);
      context.arc(wheel, height / 2 + 0.03 * metre, 0.06 * metre, 0, 2 * Math.PI);
    }
    context.fill();
    context.strokeStyle = theme.colour(colour === "--ink" ? "--accent" : colour);
    context.lineWidth = 0.075 * metre;
    const top = -height / 2 + 0.04 * metre;
    stroke(
      context,
      [x, top],
      [x + Math.sin(angle) * POLE * metre, top - Math.cos(angle) * POLE * metre],
    );
    context.fillStyle = theme.colour("--paper");
    context.beginPath();
    context.arc(x, top, 0.022 * metre, 0, 2 * Math.PI);
    context.fill();
  }
}

type Point = readonly [x: number, y: number];

function stroke(context: CanvasRenderingContext2D, from: Point, to: Point): void {
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(...to);
  context.stroke();
}
