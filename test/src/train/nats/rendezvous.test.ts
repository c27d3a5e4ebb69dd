import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NatsLink } from "../../../../src/train/cluster/nats/connection.ts";
import {
  NatsRendezvous,
  type NatsRendezvousOptions,
} from "../../../../src/train/cluster/nats/nats-rendezvous.ts";
import { GivenRendezvous } from "../../../../src/train/cluster/rendezvous.ts";
import { NatsServer, natsServer, natsTitle, until } from "../../../support/nats-server.ts";
import { RUN } from "../../../support/nats-world.ts";

const LEASE = 600;

describe("GivenRendezvous", () => {
  const addresses = ["ws://10.0.0.1:1", "ws://10.0.0.2:2"];

  it("gives what it was given, in that order", async () => {
    const given = new GivenRendezvous(addresses, "never");
    expect((await given.contacts()).map(({ address }) => address)).toEqual(addresses);
    expect(await given.mayFound()).toBe(false);
  });
  it("lets a node begin that was told to", async () => {
    expect(await new GivenRendezvous(addresses, "if-nobody-answers").mayFound()).toBe(true);
    const alone = new GivenRendezvous(addresses, "at-once");
    expect(await alone.mayFound()).toBe(true);
    expect(await alone.contacts()).toEqual([]);
  });
});

describe.skipIf(natsServer === undefined)(natsTitle("NatsRendezvous"), () => {
  let server: NatsServer;
  let links: NatsLink[] = [];

  beforeEach(async () => {
    server = await NatsServer.start();
    links = [];
  });
  afterEach(async () => {
    for (const link of links) await link[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  async function join(
    node: string,
    options: Partial<NatsRendezvousOptions> = {},
  ): Promise<NatsRendezvous & { die(): Promise<void> }> {
    const link = await NatsLink.open({ servers: [server.url], name: node });
    links.push(link);
    const rendezvous = await NatsRendezvous.open(link, {
      ...{ runId: RUN, node, leaseMs: LEASE },
      ...options,
    });
    await rendezvous.announce({ node, address: `ws://${node}.example:1` });
    // as a process dies: it takes nothing back
    return Object.assign(rendezvous, { die: () => link.connection.close() });
  }

  async function names(rendezvous: NatsRendezvous): Promise<string[]> {
    return (await rendezvous.contacts()).map(({ node }) => node).toSorted();
  }

  it("lets one of eight begin that start at once", async () => {
    const nodes = await Promise.all([..."abcdefgh"].map((node) => join(node)));
    const told = await Promise.all(nodes.map((node) => node.mayFound()));
    expect(told.filter((may) => may)).toHaveLength(1);
    expect(await names(nodes[0] as NatsRendezvous)).toEqual([..."bcdefgh"]);
    // and it stays so
    const again = await Promise.all(nodes.map((node) => node.mayFound()));
    expect(again).toEqual(told);
  });

  it("gives addresses as they were announced", async () => {
    const [one, two] = [await join("one"), await join("two")];
    expect(await one.contacts()).toEqual([{ node: "two", address: "ws://two.example:1" }]);
    await two[Symbol.asyncDispose]();
    expect(await one.contacts()).toEqual([]);
  });

  it("forgets who is silent", async () => {
    const [one, two] = [await join("one"), await join("two")];
    await two.die();
    await until("two is forgotten", async () => (await names(one)).length === 0);
  });

  it("lets another begin when who was to has died, and not before", async () => {
    const [one, two] = [await join("one"), await join("two")];
    expect(await one.mayFound()).toBe(true);
    const alive = performance.now() + 2 * LEASE;
    while (performance.now() < alive) expect(await two.mayFound()).toBe(false);
    await one.die();
    const died = performance.now();
    await until("two may", () => two.mayFound());
    // the last renewal was a quarter of a lease before the death, at most
    expect(performance.now() - died).toBeGreaterThan(LEASE / 2);
  });

  it("keeps others from beginning while anybody lives who has found the cluster", async () => {
    const [one, two, three] = [await join("one"), await join("two"), await join("three")];
    expect(await one.mayFound()).toBe(true);
    two.vouch();
    await one.die();
    const end = performance.now() + 3 * LEASE;
    while (performance.now() < end) expect(await three.mayFound()).toBe(false);
    await two.die();
    await until("three may", () => three.mayFound());
  });

  it("takes a server that is away for no death", async () => {
    const [one, two] = [await join("one"), await join("two")];
    expect(await one.mayFound()).toBe(true);
    expect(await two.mayFound()).toBe(false);
    await server.kill();
    await new Promise((resolve) => setTimeout(resolve, 2 * LEASE));
    await server.start();
    const revision = await revisionOf(links[0] as NatsLink);
    // two has read that revision before: it waits until it has seen it for a lease, and one is faster
    await until("one is back", async () => (await revisionOf(links[1] as NatsLink)) !== revision);
    expect(await two.mayFound()).toBe(false);
  });

  it("says when another cluster was begun meanwhile", async () => {
    const troubles: unknown[] = [];
    const one = await join("one", { onTrouble: (trouble) => troubles.push(trouble) });
    expect(await one.mayFound()).toBe(true);
    const link = links[0] as NatsLink;
    const bucket = await new link.sdk.kv.Kvm(link.jetstream).open(`forge-${RUN}`);
    const cluster = "01234567-89ab-4cde-8f01-23456789abcd";
    await bucket.put("founder", JSON.stringify({ cluster, node: "other" }));
    await until("it is said", () => troubles.includes("superseded"));
    expect(troubles).toEqual(["superseded"]);
  });

  it("passes over what others have written", async () => {
    const one = await join("one");
    const link = links[0] as NatsLink;
    const bucket = await new link.sdk.kv.Kvm(link.jetstream).open(`forge-${RUN}`);
    await bucket.put("node.x", "no json");
    await bucket.put("node.y", JSON.stringify({ node: "y", address: "no url" }));
    expect(await one.contacts()).toEqual([]);
  });
});

async function revisionOf(link: NatsLink): Promise<number> {
  for (;;) {
    try {
      const bucket = await new link.sdk.kv.Kvm(link.jetstream).open(`forge-${RUN}`);
      return (await link.ask(() => bucket.get("founder")))?.revision ?? 0;
    } catch {
      // not back yet
    }
  }
}
