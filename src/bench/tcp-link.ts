/** Bare TCP between neighbours of a ring, as fast as Node has it: what the ring is compared with. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

const MIB = 2 ** 20;

/** Bytes that wait to be sent, so that the socket never runs dry. */
const AHEAD = 4 * MIB;

/** Sends to the successor, which has dialled, and receives from the predecessor, into one buffer again and again. */
export class TcpLink implements Disposable {
  readonly #server: Server;
  readonly #payload = Buffer.alloc(MIB, 1);
  readonly #buffer = Buffer.alloc(MIB);
  #successor: Socket | undefined;
  #predecessor: Socket | undefined;
  #received = 0;
  #onReceived = (): void => {};

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => {
      this.#successor = socket.setNoDelay();
    });
  }

  /** Listens on the interface of an address. */
  static async open(host: string): Promise<TcpLink> {
    const server = createServer();
    server.listen(0, host);
    await once(server, "listening");
    return new TcpLink(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Dials the predecessor. */
  async dial(host: string, port: number): Promise<void> {
    const callback = (bytes: number): boolean => {
      this.#received += bytes;
      this.#onReceived();
      return true;
    };
    const onread = { buffer: this.#buffer, callback };
    const socket = connect({ port, host, noDelay: true, onread });
    this.#predecessor = socket;
    await once(socket, "connect");
  }

  [Symbol.dispose](): void {
    this.#server.close();
    this.#successor?.destroy();
    this.#predecessor?.destroy();
  }

  /** Sends so many bytes, in writes of 1 MiB; resolves when they have left. */
  async send(bytes: number): Promise<void> {
    const socket = this.#successor as Socket;
    const left = new Set<Promise<unknown>>();
    for (let sent = 0; sent < bytes; sent += MIB) {
      const piece = this.#payload.subarray(0, Math.min(MIB, bytes - sent));
      const written: Promise<unknown> = new Promise((resolve) => socket.write(piece, resolve));
      left.add(written);
      void written.then(() => left.delete(written));
      while (socket.writableLength >= AHEAD) await Promise.race(left);
    }
    await Promise.all(left);
  }

  /** Resolves when so many more bytes have come. */
  async receive(bytes: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#onReceived = () => {
        if (this.#received >= bytes) resolve();
      };
      this.#onReceived();
    });
    this.#received -= bytes;
  }
}
