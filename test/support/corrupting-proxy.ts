/** Something between nodes that changes bits on their way, which TCP takes for what was sent. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { seeded } from "./cluster/random.ts";

/** Which way bytes go: to the node behind the proxy, or from it. */
export type Direction = "to" | "from";

/** What is done to them. */
export interface Corruption {
  readonly direction: Direction;
  /** Bytes between two bits that are changed: half of it to half as much again. */
  readonly every: number;
}

/** See the file's head. It is transparent until it is told to {@link corrupt}, and bits are drawn by its seed. */
export class CorruptingProxy implements Disposable {
  /** Bits that were changed. */
  changed = 0;
  readonly #server: Server;
  readonly #random: ReturnType<typeof seeded>;
  readonly #sockets = new Set<Socket>();
  readonly #target = deferred<{ readonly host: string; readonly port: number }>();
  #corruption: Corruption | undefined;
  /** Bytes until the next one. */
  #left = 0;

  private constructor(server: Server, seed: number) {
    this.#server = server;
    this.#random = seeded(seed);
    server.on("connection", (socket) => void this.#join(socket));
  }

  /** Listens on loopback. Whoever comes before {@link pointAt} waits. */
  static async open(seed: number): Promise<CorruptingProxy> {
    const server = createServer();
    await once(server.listen(0, "127.0.0.1"), "listening");
    return new CorruptingProxy(server, seed);
  }

  /** Where the node is to be dialled. */
  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Where the node listens. Once. */
  pointAt(url: string): void {
    const { hostname: host, port } = new URL(url);
    this.#target.resolve({ host, port: Number(port) });
  }

  /** Changes bits from now on; undefined for none. */
  corrupt(corruption: Corruption | undefined): void {
    this.#corruption = corruption;
    this.#draw();
  }

  [Symbol.dispose](): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #join(near: Socket): Promise<void> {
    this.#keep(near);
    const far = connect(await this.#target.promise);
    this.#keep(far);
    this.#pass(near, far, "to");
    this.#pass(far, near, "from");
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket.setNoDelay());
    socket.on("error", () => {}).on("close", () => this.#sockets.delete(socket));
  }

  #pass(from: Socket, to: Socket, direction: Direction): void {
    from.on("data", (bytes: Buffer) => {
      if (direction === this.#corruption?.direction) this.#change(bytes);
      if (to.write(bytes)) return;
      from.pause();
      to.once("drain", () => from.resume());
    });
    from.on("end", () => to.end());
    from.on("close", () => to.destroy());
  }

  #change(bytes: Buffer): void {
    while (this.#left < bytes.length) {
      const at = this.#left;
      bytes[at] = (bytes[at] as number) ^ (1 << this.#random.below(8));
      this.changed++;
      this.#draw();
      this.#left += at + 1;
    }
    this.#left -= bytes.length;
  }

  #draw(): void {
    const { every = 0 } = this.#corruption ?? {};
    this.#left = Math.ceil(every / 2) + this.#random.below(every || 1);
  }
}

function deferred<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve = (_: T): void => {};
  const promise = new Promise<T>((fulfil) => {
    resolve = fulfil;
  });
  return { promise, resolve };
}
