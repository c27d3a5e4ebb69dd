/** Networks inside this machine: hosts are network namespaces, and their links can be taken down, which no socket is told of. */
import { execFileSync, spawnSync } from "node:child_process";

/** More than the largest packet that the kernel sends as one: smaller ones would each be acknowledged. */
export const BURST = 72_000;

/** Networks of this process so far: names are its own. */
let networks = 0;

/** Hosts of several sites; those of a site share a bridge, and the bridges of the first two are joined by a trunk. */
export class Network implements Disposable {
  readonly #name: string = `forge${process.pid}x${networks++}`;
  /** Their names, in the order of their addresses. */
  readonly hosts: readonly string[];
  readonly #namespaces: string[] = [];

  /** Errors: those of `ip`; what was made of it is gone then. */
  constructor(sites: readonly (readonly string[])[]) {
    this.hosts = sites.flat();
    try {
      this.#build(sites);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Why there can be none here; undefined where there can. */
  static get obstacle(): string | undefined {
    const probe = `forge${process.pid}probe`;
    const { status, error } = spawnSync("ip", ["netns", "add", probe]);
    if (status === 0) ip("netns", "delete", probe);
    if (error) return "there is no iproute2";
    return status === 0 ? undefined : "this user may not make network namespaces";
  }

  /** What runs a command on a host, to be put before it. The process has the id that it would have anyway. */
  under(host: string): readonly string[] {
    return ["ip", "netns", "exec", this.#namespaceOf(host)];
  }

  addressOf(host: string): string {
    return `10.77.0.${this.hosts.indexOf(host) + 1}`;
  }

  /** Sets the link of a host, at the other end of the cable: the host itself goes on sending. */
  setLink(host: string, state: "up" | "down"): void {
    ip("-n", this.#switch, "link", "set", this.#portOf(host), state);
  }

  /**
   * Lets a host send no more than so many bits a second, Ethernet, IP and TCP headers among them, after {@link BURST} bytes at once.
   * What waits is never dropped.
   */
  limit(host: string, bitsPerSecond: number): void {
    const bucket = ["tbf", "rate", `${bitsPerSecond}bit`, "burst", `${BURST}`, "limit", "16mb"];
    const device = ["-n", this.#namespaceOf(host), "qdisc", "replace", "dev", "eth0", "root"];
    execFileSync("tc", [...device, ...bucket], { stdio: "pipe" });
  }

  /** Sets the only way between the first two sites. */
  setTrunk(state: "up" | "down"): void {
    ip("-n", this.#switch, "link", "set", "trunk0", state);
  }

  /** Kills whatever still runs there, as nothing else ends a network. */
  [Symbol.dispose](): void {
    for (const namespace of this.#namespaces.splice(0)) {
      const { stdout } = spawnSync("ip", ["netns", "pids", namespace], { encoding: "utf8" });
      for (const pid of stdout.split("\n").filter(Boolean)) process.kill(Number(pid), "SIGKILL");
      spawnSync("ip", ["netns", "delete", namespace]);
    }
  }

  get #switch(): string {
    return `${this.#name}switch`;
  }

  #namespaceOf(host: string): string {
    return `${this.#name}${host}`;
  }

  #portOf(host: string): string {
    return `port${this.hosts.indexOf(host)}`;
  }

  #build(sites: readonly (readonly string[])[]): void {
    this.#add(this.#switch);
    for (const [i, hosts] of sites.entries()) {
      ip("-n", this.#switch, "link", "add", `site${i}`, "type", "bridge");
      ip("-n", this.#switch, "link", "set", `site${i}`, "up");
      for (const host of hosts) this.#connect(host, `site${i}`);
    }
    if (sites.length < 2) return;
    const ends = ["type", "veth", "peer", "name", "trunk1"];
    ip("-n", this.#switch, "link", "add", "trunk0", ...ends);
    for (const end of [0, 1]) this.#plug(`trunk${end}`, `site${end}`);
  }

  #add(namespace: string): void {
    ip("netns", "add", namespace);
    this.#namespaces.push(namespace);
  }

  #connect(host: string, bridge: string): void {
    const namespace = this.#namespaceOf(host);
    const port = this.#portOf(host);
    this.#add(namespace);
    const ends = ["type", "veth", "peer", "name", "eth0", "netns", namespace];
    ip("-n", this.#switch, "link", "add", port, ...ends);
    this.#plug(port, bridge);
    ip("-n", namespace, "address", "add", `${this.addressOf(host)}/24`, "dev", "eth0");
    for (const link of ["lo", "eth0"]) ip("-n", namespace, "link", "set", link, "up");
  }

  #plug(port: string, bridge: string): void {
    ip("-n", this.#switch, "link", "set", port, "master", bridge, "up");
  }
}

function ip(...args: readonly string[]): void {
  execFileSync("ip", args, { stdio: "pipe" });
}
