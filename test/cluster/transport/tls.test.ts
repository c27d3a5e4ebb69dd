import { connect as connectTcp } from "node:net";
import { connect } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { dialControl } from "../../../cluster/transport/dial.ts";
import { dialRing } from "../../../cluster/transport/dial-ring.ts";
import type { DialOptions } from "../../../cluster/transport/dialling.ts";
import { NodeClient, type NodeClientOptions } from "../../../cluster/transport/node-client.ts";
import type { Route } from "../../../cluster/transport/route.ts";
import { namesOf, type TlsFiles } from "../../../cluster/transport/tls.ts";
import { Certificates, hasOpenssl } from "../../support/certificates.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RawClient, RUN_ID } from "./hostile.ts";
import { codec, type House, headerOf, openHouse, PATIENT, until } from "./members.ts";

test("the names of a certificate are its DNS names and the ends of its URIs", () => {
  const names = (subjectaltname: string): string[] => namesOf({ subjectaltname });
  expect(names("DNS:a, DNS:b.example, IP Address:127.0.0.1")).toEqual(["a", "b.example"]);
  expect(names("URI:spiffe://domain/ns/forge/a-1")).toEqual(["a-1"]);
  expect(names('DNS:"a, DNS:b", email:a@b')).toEqual(['"a', 'b"']);
  expect(names("")).toEqual([]);
  expect(namesOf({})).toEqual([]);
  expect(namesOf(null)).toEqual([]);
});

describe.skipIf(!hasOpenssl)(
  `with certificates${hasOpenssl ? "" : " (skipped: there is no openssl)"}`,
  () => {
    let certificates: Certificates;
    let houses: House[] = [];
    const at = (name: string): string => certificates.at(name);
    const filesOf = (name: string, ca?: string): Required<TlsFiles> =>
      certificates.filesOf(name, ca);

    beforeAll(() => {
      certificates = new Certificates();
      for (const ca of ["ca", "other-ca"]) certificates.authority(ca);
      certificates.sign("house", "DNS:house,IP:127.0.0.1");
      certificates.sign("member", "DNS:member");
      certificates.sign("spiffe", "URI:spiffe://forge/run/member");
      certificates.sign("outsider", "DNS:member", "other-ca");
    });

    afterEach(async () => {
      await Promise.all(houses.map(({ listener }) => listener.close()));
      houses = [];
    });

    afterAll(() => certificates[Symbol.dispose]());

    async function houseWith(tls: TlsFiles, given: Parameters<typeof openHouse>[0] = {}) {
      const house = await openHouse({ limits: PATIENT, tls, ...given });
      houses.push(house);
      return house;
    }

    /** "open", or the code of why not. */
    async function dialling(house: House, given: Partial<DialOptions> = {}): Promise<string> {
      const dialled = dialControl(house.listener.url, {
        ...{ runId: RUN_ID, nodeId: "member", token: house.token, limits: PATIENT, codec },
        open: () => ({ message: () => {} }),
        ...given,
      });
      return dialled.then(
        async (connection) => {
          // with TLS 1.3, a certificate is refused after the handshake is over for who dials
          await connection.close();
          return "open";
        },
        (error: { code: string }) => error.code,
      );
    }

    test("a listener with a certificate is dialled by who trusts its signer", async () => {
      const { key, cert, ca } = filesOf("house");
      const house = await houseWith({ key, cert });
      expect(house.listener.url).toMatch(/^wss:/);
      expect(await dialling(house, { tls: { ca } })).toBe("open");
      expect(await dialling(house, { tls: { ca }, peer: "house" })).toBe("open");
      expect(await dialling(house, { tls: { ca: at("other-ca.crt") } })).toBe("peer_unreachable");
      expect(await dialling(house)).toBe("peer_unreachable");
      expect(await dialling(house, { tls: { ca }, peer: "member" })).toBe("peer_unreachable");
    });

    test("a node goes by the names of its certificate only", async () => {
      const { key, cert, ca } = filesOf("house");
      const house = await houseWith({ key, cert }, { nodeId: "palace" });
      expect(await dialling(house, { tls: { ca } })).toBe("peer_invalid");
    });

    test("with mutual TLS, a node is let in under the names of its certificate only", async () => {
      const house = await houseWith(filesOf("house"));
      const tls = filesOf("member");
      expect(await dialling(house, { tls, peer: "house" })).toBe("open");
      expect(await dialling(house, { tls: filesOf("spiffe") })).toBe("open");
      expect(await dialling(house, { tls, nodeId: "mallory" })).toBe("peer_forbidden");
      expect(house.refusals.at(-1)).toBe("403 certificate of another node");
      expect(await dialling(house, { tls: { ca: tls.ca } })).toBe("peer_unreachable");
      expect(await dialling(house, { tls: { ...filesOf("outsider"), ca: tls.ca } })).toBe(
        "peer_unreachable",
      );
      expect(house.controls.length).toBe(2);
    });

    /** The status, or the code of why there is none. */
    async function asking(
      house: House,
      given: Partial<NodeClientOptions> = {},
      peer?: string,
    ): Promise<string> {
      using client = new NodeClient({
        ...{ runId: RUN_ID, nodeId: "member", token: house.token, limits: { stallMs: 20_000 } },
        ...given,
      });
      const request = { method: "GET", path: "/who", ...(peer && { peer }) } as const;
      const ask = (): Promise<string> =>
        client.ask(house.listener.url, request).then(
          ({ status }) => String(status),
          (error: { code: string }) => error.code,
        );
      const first = await ask();
      // on the socket that was kept, if it was
      expect(await ask()).toBe(first);
      return first;
    }

    const routes: readonly Route[] = [
      {
        ...{ method: "GET", path: "/who", roles: ["trainer"] },
        answer: async ({ nodeId }) => ({ status: 200, body: { nodeId } }),
      },
    ];

    test("plain requests are made over TLS, of nodes that go by the names of their certificates", async () => {
      const { key, cert, ca } = filesOf("house");
      const house = await houseWith({ key, cert }, { routes });
      expect(await asking(house, { tls: { ca } })).toBe("200");
      expect(await asking(house, { tls: { ca } }, "house")).toBe("200");
      expect(await asking(house, { tls: { ca } }, "member")).toBe("peer_unreachable");
      expect(await asking(house, { tls: { ca: at("other-ca.crt") } })).toBe("peer_unreachable");
      expect(await asking(house)).toBe("peer_unreachable");
      expect(await asking(house, { tls: { ca: at("none") } })).toBe("tls_invalid");
      const palace = await houseWith({ key, cert }, { routes, nodeId: "palace" });
      expect(await asking(palace, { tls: { ca } })).toBe("peer_invalid");
    });

    test("a socket to one node is not another's, however often it is asked", async () => {
      const { key, cert, ca } = filesOf("house");
      const house = await houseWith({ key, cert }, { routes });
      using client = new NodeClient({
        ...{ runId: RUN_ID, nodeId: "member", token: house.token, tls: { ca } },
      });
      const ask = (peer: string): Promise<unknown> =>
        client.ask(house.listener.url, { method: "GET", path: "/who", peer });
      await ask("house");
      // the request does not even leave: it would show the token to who was not meant
      await expect(ask("member")).rejects.toMatchObject({ code: "peer_unreachable" });
      await ask("house");
      expect(house.listener.guests).toBe(1);
    });

    test("with mutual TLS, requests are answered to the names of a certificate only", async () => {
      const house = await houseWith(filesOf("house"), { routes });
      const tls = filesOf("member");
      expect(await asking(house, { tls }, "house")).toBe("200");
      expect(await asking(house, { tls: filesOf("spiffe") })).toBe("200");
      expect(await asking(house, { tls, nodeId: "mallory" })).toBe("peer_forbidden");
      expect(house.refusals.at(-1)).toBe("403 certificate of another node");
      expect(await asking(house, { tls: { ca: tls.ca } })).toBe("peer_unreachable");
      const outsider = { ...filesOf("outsider"), ca: tls.ca };
      expect(await asking(house, { tls: outsider })).toBe("peer_unreachable");
      await until(() => house.listener.strangers === 0 && house.listener.guests === 0);
    });

    test("the ring runs over TLS", async () => {
      const house = await houseWith(filesOf("house"));
      let bytes = 0;
      const receiver = await dialRing(house.listener.url, {
        ...{ runId: RUN_ID, nodeId: "member", peer: "house", token: house.token, limits: PATIENT },
        tls: filesOf("member"),
        ticket: house.ticket("member"),
        open: () => ({
          chunk: (_header, payload) => {
            bytes += payload.length;
          },
        }),
      });
      const [sender] = house.senders;
      for (let i = 0; i < 8; i++) await sender?.send(headerOf(2 ** 20), new Uint8Array(2 ** 20));
      await sender?.whenIdle();
      expect(bytes).toBe(8 * 2 ** 20);
      await receiver.close();
    });

    test("who speaks plainly, an older TLS, or nothing is not served, and harms nobody", async () => {
      const clock = new ManualClock();
      const { key, cert, ca } = filesOf("house");
      const house = await houseWith({ key, cert }, { clock });
      const plain = new RawClient(house.listener.port);
      plain.write("GET /control HTTP/1.1\r\nHost: a\r\n\r\n");
      expect(await plain.status()).toBe(0);
      const { port } = house.listener;
      const error = await new Promise<NodeJS.ErrnoException>((resolve) => {
        connect({ port, host: "127.0.0.1", maxVersion: "TLSv1.2", rejectUnauthorized: false })
          .on("secureConnect", () => resolve(new Error("let in")))
          .on("error", resolve);
      });
      expect(error.code).toBe("ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
      const silent = connectTcp({ port, host: "127.0.0.1" }).on("error", () => {});
      const isGone = new Promise((resolve) => silent.once("close", resolve));
      await until(() => house.listener.strangers === 1);
      clock.advance(PATIENT.handshakeMs + 1_000);
      await isGone;
      expect(await dialling(house, { tls: { ca } })).toBe("open");
      await until(() => house.listener.strangers === 0);
    });

    test("files that are missing, or do not belong together, are told", async () => {
      const { key, cert, ca } = filesOf("house");
      const listening = (tls: TlsFiles): Promise<unknown> => openHouse({ tls });
      const invalid = { code: "tls_invalid" };
      await expect(listening({ key: at("none"), cert })).rejects.toMatchObject(invalid);
      await expect(listening({ key: cert, cert })).rejects.toMatchObject(invalid);
      await expect(listening({ key, cert: filesOf("member").cert })).rejects.toMatchObject(invalid);
      const house = await houseWith({ key, cert });
      expect(await dialling(house, { tls: { ca: at("none") } })).toBe("tls_invalid");
      expect(await dialling(house, { tls: { ca: key } })).not.toBe("open");
      expect(await dialling(house, { tls: { ca } })).toBe("open");
    });
  },
);
