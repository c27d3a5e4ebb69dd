/** A server of chat completions on the loopback, which answers as it is told. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** A request that it was sent. */
export interface ServedRequest {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: {
    readonly model: string;
    readonly messages: readonly { readonly role: string; readonly content: string }[];
    readonly [field: string]: unknown;
  };
}

/** What it answers: what its model says, a status with a body and headers, or nothing at all. */
export type ServedAnswer =
  | string
  | {
      readonly status: number;
      readonly body?: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  | "silence"
  | "hang-up";

/** Serves until disposed. `answer` is asked with each request and its number. */
export async function chatServer(
  answer: (request: ServedRequest, index: number) => ServedAnswer | Promise<ServedAnswer>,
): Promise<AsyncDisposable & { readonly baseURL: string; readonly requests: ServedRequest[] }> {
  const requests: ServedRequest[] = [];
  const server = createServer(async (incoming, outgoing) => {
    let text = "";
    for await (const piece of incoming) text += piece;
    const request = {
      path: incoming.url ?? "",
      authorization: incoming.headers.authorization,
      body: JSON.parse(text),
    };
    requests.push(request);
    const answered = await answer(request, requests.length - 1);
    if (answered === "hang-up") incoming.socket.destroy();
    else if (answered === "silence") return;
    else if (typeof answered !== "string")
      outgoing.writeHead(answered.status, answered.headers).end(answered.body);
    else {
      const message = { role: "assistant", content: answered };
      outgoing.writeHead(200, { "content-type": "application/json" });
      outgoing.end(JSON.stringify({ object: "chat.completion", choices: [{ index: 0, message }] }));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    baseURL: `http://127.0.0.1:${port}/v1`,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
