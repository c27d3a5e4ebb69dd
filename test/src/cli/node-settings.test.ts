import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type NodeSettingFlags,
  type NodeSettings,
  nodeSettings,
  OWN_RUN,
} from "../../../src/cli/node-settings.ts";

const NONCE = "00112233445566778899aabbccddeeff";
const TOKEN = "5eaf00d5".repeat(8);
const MACHINE = {
  hostname: "lab-7",
  interfaces: { lo: ["127.0.0.1", "::1"], eth0: ["10.0.0.7", "fd00::7"], ib0: ["fd01::7"] },
  nonce: NONCE,
};

function settings(flags: NodeSettingFlags = {}, env: Record<string, string> = {}): NodeSettings {
  return nodeSettings({ tokenFile: "/secret/token", ...flags }, env, MACHINE);
}

/** The message of a `config_invalid`; anything else fails the test. */
function refusal(flags: NodeSettingFlags, env: Record<string, string> = {}): string {
  try {
    settings(flags, env);
  } catch (error) {
    expect(error).toHaveProperty("code", "config_invalid");
    return (error as Error).message;
  }
  return expect.fail("nothing was thrown");
}

/** Settings less where they are from. */
function values(of: NodeSettings): Record<string, unknown> {
  const entries = Object.entries(of).map(([name, setting]) => {
    return [name, "value" in setting ? setting.value : setting];
  });
  return Object.fromEntries(entries);
}

const runIdOf = (name: string): string =>
  createHash("sha256").update(`forge-gpu run ${name}`).digest("hex").slice(0, 32);

const TORCHRUN = {
  ...{ RANK: "2", LOCAL_RANK: "0", WORLD_SIZE: "4", TORCHELASTIC_RUN_ID: "night" },
  ...{ MASTER_ADDR: "127.0.0.1", MASTER_PORT: "29500", TORCHELASTIC_RESTART_COUNT: "3" },
};
const SLURM = {
  ...{ SLURM_JOB_ID: "41234", SLURM_PROCID: "1", SLURM_LOCALID: "0", SLURM_NTASKS: "4" },
  ...{ SLURM_JOB_NODELIST: "n[0-2],gpu-a", SLURMD_NODENAME: "n1", SLURM_RESTART_COUNT: "2" },
};
const JOBSET = {
  ...{ JOB_COMPLETION_INDEX: "3", JOBSET_UID: "3f6c", JOBSET_RESTART_ATTEMPT: "1" },
  ...{ JOBSET_COORDINATOR: "forge-trainer-0-0.forge", JOBSET_REPLICATED_JOB: "trainer" },
  JOBSET_JOB_INDEX: "0",
};

describe("a node that is started by hand", () => {
  it("begins a cluster on this machine alone, with a new run id", () => {
    expect(values(settings())).toEqual({
      ...{ role: "trainer", world: { min: 1, max: 1024 }, contacts: [], founding: "at-once" },
      ...{ runId: NONCE, nodeId: "lab-7-00112233", rank: undefined, restarts: 0 },
      ...{ listen: { host: "127.0.0.1", port: 0 }, exposeAll: false, advertise: undefined },
      ...{ servers: [], natsCreds: undefined },
      ...{ tokenFile: "/secret/token", tlsCert: undefined, tlsKey: undefined, tlsCa: undefined },
      ...{ ringThreads: 1, ringPort: 0, wire: "f32", sync: { kind: "zero1" } },
      ...{ outerLr: 1, outerMomentum: 0 },
      ...{ heartbeat: 500, joinTimeout: 60_000, stateDir: undefined, warnings: [] },
      ...{ metrics: undefined, resume: undefined },
    });
  });

  it("goes on with the run of its id, or with the one that is named", () => {
    expect(settings({ resume: true }).resume).toEqual({ value: OWN_RUN, source: "--resume" });
    expect(settings({ resume: "runs/a/b" }).resume.value).toBe("runs/a/b");
    expect(settings({}, { FORGE_RESUME: OWN_RUN }).resume).toEqual({
      ...{ value: OWN_RUN, source: "FORGE_RESUME" },
    });
  });

  it("serves metrics to this machine alone, or where it is told", () => {
    expect(settings({ metrics: ":29501" }).metrics.value).toEqual({
      ...{ host: "127.0.0.1", port: 29501 },
    });
    const { value } = settings({ metrics: "eth0:9" }).metrics;
    expect(value).toEqual({ host: "10.0.0.7", port: 9 });
    const open = settings({ metrics: "0.0.0.0:9", exposeAll: true });
    expect(open.metrics.value).toEqual({ host: "0.0.0.0", port: 9 });
  });

  it("warns a rollout node of what trainers alone have a use for", () => {
    const player = { role: "rollout", rdzv: "ws://127.0.0.1:1", runId: "r" };
    expect(settings(player).warnings).toEqual([]);
    expect(settings({ ...player, metrics: ":1", resume: true }).warnings).toEqual([
      "--resume means nothing to a rollout node",
      "--metrics means nothing to a rollout node",
    ]);
  });

  it("meets the others through NATS", () => {
    const rdzv = "nats://127.0.0.1:4222,tls://localhost:4223";
    const read = values(settings({ rdzv, runId: "r" }));
    expect(read).toMatchObject({ contacts: [], servers: rdzv.split(","), founding: "as-agreed" });
    // whatever its rank
    const ranked = settings({ rdzv, runId: "r" }, TORCHRUN);
    expect(ranked.founding).toEqual({ value: "as-agreed", source: "--rdzv" });
    expect(ranked.contacts.value).toEqual([]);
    expect(settings({ role: "rollout", rdzv, runId: "r" }).founding.value).toBe("never");
    const far = settings({ rdzv: "nats://10.0.0.9:4222", runId: "r", listen: "eth0" });
    expect(far.warnings.join()).toContain("use tls://");
    expect(settings({ rdzv: "tls://10.0.0.9:4222", runId: "r", listen: "eth0" }).warnings).toEqual(
      [],
    );
  });

  it("takes every flag, and every variable behind it", () => {
    const flags: NodeSettingFlags = {
      ...{ role: "trainer", world: "2:4", rdzv: "ws://127.0.0.1:7000,ws://localhost:7001" },
      ...{ runId: "night 7", nodeId: "a.b_c-1", advertise: "10.0.0.7:8000", listen: "lo:8000" },
      ...{
        ringThreads: "8",
        ringPort: "29500",
        wire: "int8",
        sync: "diloco:50",
        heartbeat: "1.5s",
      },
      ...{
        outerLr: "0.7",
        outerMomentum: "0.9",
        joinTimeout: "2m",
        stateDir: "/var/state",
        tokenFile: "/t",
        natsCreds: "/c",
      },
    };
    const read = settings(flags);
    expect(values(read)).toMatchObject({
      ...{ world: { min: 2, max: 4 }, contacts: ["ws://127.0.0.1:7000", "ws://localhost:7001"] },
      ...{ runId: runIdOf("named night 7"), nodeId: "a.b_c-1", advertise: "ws://10.0.0.7:8000" },
      ...{
        listen: { host: "127.0.0.1", port: 8000 },
        ringThreads: 8,
        ringPort: 29_500,
        wire: "int8",
      },
      ...{ outerLr: 0.7, outerMomentum: 0.9 },
      ...{ sync: { kind: "diloco", steps: 50 }, heartbeat: 1500, joinTimeout: 120_000 },
      ...{ stateDir: "/var/state", tokenFile: "/t", natsCreds: "/c", founding: "never" },
    });
    expect(read.ringThreads.source).toBe("--ring-threads");
    const env = Object.fromEntries(
      Object.entries(flags).map(([name, text]) => {
        const words = name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
        return [`FORGE_${words}`, String(text)];
      }),
    );
    const same = nodeSettings({}, env, MACHINE);
    expect(values(same)).toEqual(values(read));
    expect(same.ringThreads.source).toBe("FORGE_RING_THREADS");
    expect(same.listen.source).toBe("FORGE_LISTEN");
  });

  it("takes flags before FORGE_ variables, and empty variables for none", () => {
    const env = { FORGE_WIRE: "bf16", FORGE_SYNC: "", FORGE_HEARTBEAT: "2s" };
    const { wire, sync, heartbeat } = settings({ wire: "int8" }, env);
    expect(wire).toEqual({ value: "int8", source: "--wire" });
    expect(sync).toEqual({ value: { kind: "zero1" }, source: "default" });
    expect(heartbeat).toEqual({ value: 2000, source: "FORGE_HEARTBEAT" });
  });

  it("keeps a run id in hex, and makes one of a name, the same for all", () => {
    expect(settings({ runId: NONCE }).runId.value).toBe(NONCE);
    expect(settings({ runId: "night" }).runId.value).toMatch(/^[0-9a-f]{32}$/);
    expect(settings({ runId: "night" })).toEqual(settings({ runId: "night" }));
    expect(settings({ runId: "day" }).runId).not.toEqual(settings({ runId: "night" }).runId);
  });

  it("joins whom it is told, or is who the others look for, and then asks the rest only", () => {
    const rdzv = "ws://10.0.0.7:29400,ws://10.0.0.8:29400";
    const first = settings({ rdzv, runId: "r", listen: "eth0:29400" });
    expect(first.founding).toEqual({ value: "if-nobody-answers", source: "--rdzv" });
    expect(first.contacts.value).toEqual(["ws://10.0.0.8:29400"]);
    const second = settings({ rdzv, runId: "r", listen: "eth0:29401" });
    expect(second.founding.value).toBe("never");
    expect(second.contacts.value).toEqual(["ws://10.0.0.7:29400", "ws://10.0.0.8:29400"]);
    const tunnelled = settings({ rdzv, runId: "r", advertise: "10.0.0.7:29400" });
    expect(tunnelled.founding.value).toBe("if-nobody-answers");
  });

  it("does not meet an address twice, and keeps those of IPv6 apart from their ports", () => {
    const six = settings({ rdzv: "ws://[fd01::7]:29400", runId: "r", listen: "ib0:29400" });
    expect(six.listen.value).toEqual({ host: "fd01::7", port: 29400 });
    expect(six.founding.value).toBe("if-nobody-answers");
    expect(settings({ listen: "fd00::7" }).listen.value).toEqual({ host: "fd00::7", port: 0 });
    expect(settings({ listen: "[::1]:7" }).listen.value).toEqual({ host: "::1", port: 7 });
  });

  it("rollout nodes never begin", () => {
    const { founding } = settings({ role: "rollout", rdzv: "ws://127.0.0.1:1", runId: "r" });
    expect(founding.value).toBe("never");
    expect(refusal({ role: "rollout" })).toContain("--rdzv");
    // being reached is no matter of theirs
    expect(settings({ role: "rollout", rdzv: "ws://h:1", runId: "r" }).founding.value).toBe(
      "never",
    );
  });
});

describe("launchers", () => {
  it("torchrun", () => {
    const read = settings({}, TORCHRUN);
    expect(read).toMatchObject({
      rank: { value: 2, source: "RANK" },
      world: { value: { min: 3, max: 4 }, source: "WORLD_SIZE" },
      contacts: { value: ["ws://127.0.0.1:29500"], source: "MASTER_ADDR" },
      runId: { value: runIdOf("torchrun night"), source: "TORCHELASTIC_RUN_ID" },
      restarts: { value: 3, source: "TORCHELASTIC_RESTART_COUNT" },
      founding: { value: "never" },
      listen: { value: { host: "127.0.0.1", port: 0 } },
    });
    const first = settings({}, { ...TORCHRUN, RANK: "0" });
    expect(first.founding).toEqual({ value: "if-nobody-answers", source: "RANK" });
    expect(first.contacts.value).toEqual([]);
    expect(first.listen.value).toEqual({ host: "127.0.0.1", port: 29500 });
  });

  it("torchrun's agent has the port of its store for itself", () => {
    const env = { ...TORCHRUN, TORCHELASTIC_USE_AGENT_STORE: "True" };
    expect(settings({}, env).contacts.value).toEqual(["ws://127.0.0.1:29501"]);
    const own = { ...TORCHRUN, TORCHELASTIC_USE_AGENT_STORE: "False" };
    expect(settings({}, own).contacts.value).toEqual(["ws://127.0.0.1:29500"]);
  });

  it("runs that torchrun calls `none` differ by where they meet", () => {
    const at = (port: string): string =>
      settings({}, { ...TORCHRUN, TORCHELASTIC_RUN_ID: "none", MASTER_PORT: port }).runId.value;
    expect(at("1")).not.toBe(at("2"));
    expect(at("1")).toBe(at("1"));
  });

  it("what an operator sets for torchrun", () => {
    const env = {
      ...{ PET_NODE_RANK: "1", PET_NNODES: "2:6", PET_RDZV_ID: "x" },
      PET_RDZV_ENDPOINT: "localhost:3000",
    };
    expect(settings({}, env)).toMatchObject({
      rank: { value: 1, source: "PET_NODE_RANK" },
      world: { value: { min: 2, max: 6 }, source: "PET_NNODES" },
      contacts: { value: ["ws://localhost:3000"], source: "PET_RDZV_ENDPOINT" },
      runId: { value: runIdOf("torchrun x"), source: "PET_RDZV_ID" },
    });
    const plain = settings({}, { ...env, PET_RDZV_ENDPOINT: "localhost" });
    expect(plain.contacts.value).toEqual(["ws://localhost:29400"]);
  });

  it("Slurm: every host may be asked, at the port of the job", () => {
    const read = settings({ listen: "eth0" }, SLURM);
    const port = 20_000 + (41_234 % 20_000);
    expect(read).toMatchObject({
      rank: { value: 1, source: "SLURM_PROCID" },
      world: { value: { min: 3, max: 4 }, source: "SLURM_NTASKS" },
      contacts: {
        value: ["n0", "n1", "n2", "gpu-a"].map((host) => `ws://${host}:${port}`),
        source: "SLURM_JOB_NODELIST",
      },
      runId: { value: runIdOf("slurm 41234"), source: "SLURM_JOB_ID" },
      restarts: { value: 2, source: "SLURM_RESTART_COUNT" },
      founding: { value: "never" },
      listen: { value: { host: "10.0.0.7", port }, source: "--listen" },
    });
    const first = settings({ listen: "eth0" }, { ...SLURM, SLURM_PROCID: "0" });
    expect(first.founding).toEqual({ value: "if-nobody-answers", source: "SLURM_PROCID" });
    expect(first.contacts.value).toHaveLength(3);
    expect(first.listen.value.port).toBe(port);
    // ids of federated jobs have 32 bits
    const federated = settings({ listen: "eth0" }, { ...SLURM, SLURM_JOB_ID: "4294967295" });
    expect(federated.listen.value.port).toBe(27_295);
    // a second task of a host does not take the first one's port
    const beside = settings({ listen: "eth0" }, { ...SLURM, SLURM_LOCALID: "1" });
    expect(beside.listen.value.port).toBe(port + 1);
    const step = settings({ listen: "eth0" }, { ...SLURM, SLURM_STEP_NODELIST: "n[1-2]" });
    expect(step.contacts.source).toBe("SLURM_STEP_NODELIST");
  });

  it("Slurm: listens on all interfaces under the host's name", () => {
    const read = settings({ listen: "0.0.0.0", exposeAll: true }, SLURM);
    expect(read.advertise).toEqual({ value: "ws://n1:21234", source: "SLURMD_NODENAME" });
    expect(read.contacts.value).not.toContain("ws://n1:21234");
  });

  it("Slurm: the jobs of an array know nothing of each other", () => {
    const array = { ...SLURM, SLURM_ARRAY_TASK_ID: "0", SLURM_PROCID: "0" };
    const read = settings({ rdzv: "ws://10.0.0.1:1", runId: "r", listen: "eth0" }, array);
    expect(read.founding.value).toBe("never");
    expect(read.rank.value).toBeUndefined();
    expect(refusal({ rdzv: "ws://10.0.0.1:1", listen: "eth0" }, array)).toContain("--run-id");
  });

  it("JobSet: the coordinator is asked first, then the other pods of its job", () => {
    const read = settings({ world: "2:4", listen: "eth0" }, JOBSET);
    const pod = (i: number): string => `ws://forge-trainer-0-${i}.forge:29400`;
    expect(read).toMatchObject({
      rank: { value: 3, source: "JOB_COMPLETION_INDEX" },
      contacts: { value: [0, 1, 2, 3].map(pod), source: "JOBSET_COORDINATOR" },
      runId: { value: runIdOf("jobset 3f6c"), source: "JOBSET_UID" },
      restarts: { value: 1, source: "JOBSET_RESTART_ATTEMPT" },
      founding: { value: "never" },
      listen: { value: { host: "10.0.0.7", port: 29400 } },
    });
    const first = settings(
      { world: "2:4", listen: "eth0" },
      { ...JOBSET, JOB_COMPLETION_INDEX: "0" },
    );
    expect(first.founding.value).toBe("if-nobody-answers");
    expect(first.contacts.value).toEqual([1, 2, 3].map(pod));
    const open = nodeSettings({ tokenFile: "/t", listen: "0.0.0.0", exposeAll: true }, JOBSET, {
      ...MACHINE,
      hostname: "forge-trainer-0-3",
    });
    expect(open.advertise.value).toBe("ws://forge-trainer-0-3.forge:29400");
    expect(open.contacts.value).toHaveLength(15);
  });

  it("an Indexed Job alone gives a rank, and needs the rest", () => {
    const env = { JOB_COMPLETION_INDEX: "1" };
    expect(refusal({}, env)).toContain("JOB_COMPLETION_INDEX=1");
    const read = settings({ rdzv: "ws://127.0.0.1:1", runId: "r" }, env);
    expect(read.nodeId.value).toBe("trainer-00001");
  });

  it("empty variables of a launcher are none, and a world of nobody is none", () => {
    const env = { RANK: "", WORLD_SIZE: "0", MASTER_ADDR: "", SLURM_JOB_ID: "" };
    expect(settings({}, env)).toEqual(settings());
  });

  it("torchrun: addresses of IPv6, and no port", () => {
    const six = { ...TORCHRUN, MASTER_ADDR: "::1" };
    expect(settings({}, six).contacts.value).toEqual(["ws://[::1]:29500"]);
    const { MASTER_PORT: _, ...bare } = TORCHRUN;
    expect(settings({}, bare).contacts.value).toEqual(["ws://127.0.0.1:29400"]);
  });

  it("Slurm: 16 hosts of many are asked, and two jobs of one run have nodes of different names", () => {
    const many = { ...SLURM, SLURM_JOB_NODELIST: "n[0-999]", SLURM_NTASKS: "1000" };
    expect(settings({ listen: "eth0" }, many).contacts.value).toHaveLength(16);
    const id = (job: string): string =>
      settings({ listen: "eth0", runId: "r" }, { ...SLURM, SLURM_JOB_ID: job }).nodeId.value;
    expect(id("1")).not.toBe(id("2"));
  });

  it("with a certificate, contacts of a launcher are dialled by wss://", () => {
    const tls = { tlsCert: "c", tlsKey: "k", tlsCa: "a" };
    expect(settings(tls, TORCHRUN).contacts.value).toEqual(["wss://127.0.0.1:29500"]);
  });

  it("rollout nodes take no port of a contact, and need no certificate", () => {
    const rollout = settings({ role: "rollout" }, { ...SLURM, SLURM_PROCID: "0" });
    expect(rollout.listen.value.port).toBe(0);
    const rdzv = "wss://10.0.0.1:1";
    expect(settings({ role: "rollout", rdzv, runId: "r" }).contacts.value).toEqual([rdzv]);
  });

  it("precedence: flag, FORGE_, torchrun, Slurm, JobSet, each setting by itself", () => {
    const all = { ...JOBSET, ...SLURM, ...TORCHRUN };
    expect(settings({}, all).rank.source).toBe("RANK");
    expect(settings({}, all).contacts.source).toBe("MASTER_ADDR");
    // the port of the launcher whose contacts are not taken is not taken either
    expect(settings({}, all).listen.value.port).toBe(0);
    expect(settings({ listen: "eth0" }, { ...JOBSET, ...SLURM }).runId.source).toBe("SLURM_JOB_ID");
    const mixed = { ...SLURM, MASTER_ADDR: "127.0.0.1", MASTER_PORT: "5", FORGE_WORLD: "1:2" };
    expect(settings({}, mixed)).toMatchObject({
      rank: { source: "SLURM_PROCID" },
      contacts: { value: ["ws://127.0.0.1:5"], source: "MASTER_ADDR" },
      world: { value: { min: 1, max: 2 }, source: "FORGE_WORLD" },
    });
    expect(settings({ world: "7" }, mixed).world).toEqual({
      ...{ value: { min: 7, max: 7 }, source: "--world" },
    });
    expect(settings({ rdzv: "ws://127.0.0.1:9" }, SLURM).listen.value.port).toBe(0);
  });

  it("ids of nodes are in the order of their ranks, and differ between roles and groups", () => {
    const id = (env: Record<string, string>, role = "trainer"): string =>
      settings({ role, rdzv: "ws://127.0.0.1:1" }, env).nodeId.value;
    const ids = [0, 1, 9, 10, 99, 100, 1023].map((rank) => id({ ...TORCHRUN, RANK: String(rank) }));
    expect(ids.toSorted()).toEqual(ids);
    expect(id(TORCHRUN)).toBe(id({ ...TORCHRUN, TORCHELASTIC_RESTART_COUNT: "9" }));
    const others = [
      id(TORCHRUN, "rollout"),
      id({ ...TORCHRUN, TORCHELASTIC_RUN_ID: "day" }),
      id({ ...JOBSET, JOB_COMPLETION_INDEX: "2" }),
      id({ ...JOBSET, JOB_COMPLETION_INDEX: "2", JOBSET_JOB_INDEX: "1" }),
    ];
    expect(new Set([id(TORCHRUN), ...others]).size).toBe(5);
    for (const one of others) expect(one).toMatch(/^[A-Za-z0-9._-]{1,64}$/);
  });

  it.each([
    ["RANK", { ...TORCHRUN, RANK: "two" }],
    ["WORLD_SIZE", { ...TORCHRUN, WORLD_SIZE: "-1" }],
    ["WORLD_SIZE", { ...TORCHRUN, WORLD_SIZE: "9".repeat(30) }],
    ["MASTER_PORT", { ...TORCHRUN, MASTER_PORT: "http" }],
    ["MASTER_ADDR", { ...TORCHRUN, MASTER_ADDR: "a b" }],
    ["MASTER_ADDR", { ...TORCHRUN, MASTER_PORT: "99999" }],
    ["SLURM_JOB_ID", { ...SLURM, SLURM_JOB_ID: "x" }],
    ["list of hosts", { ...SLURM, SLURM_JOB_NODELIST: "n[" }],
    ["JOBSET_COORDINATOR", { ...JOBSET, JOBSET_COORDINATOR: "no host" }],
  ])("what no launcher would set is refused: %s", (name, env) => {
    expect(refusal({ listen: "eth0" }, env)).toContain(name);
  });
});

describe("refuses, and says what is allowed", () => {
  it.each<[string, NodeSettingFlags, string]>([
    ["a role", { role: "trianer" }, "did you mean trainer?"],
    ["a wire type", { wire: "fp32" }, "did you mean f32?"],
    ["a way to sync", { sync: "zero" }, "did you mean zero1?"],
    ["diloco without steps", { sync: "diloco" }, "diloco:50"],
    ["no steps", { sync: "diloco:0" }, "diloco:H"],
    ["too many", { sync: "diloco:10001" }, "1 to 10000"],
    ["a rate of nothing", { sync: "diloco:8", outerLr: "0" }, "above 0"],
    ["a rate that is none", { sync: "diloco:8", outerLr: "1e-3" }, "above 0"],
    ["a momentum without end", { sync: "diloco:8", outerMomentum: "1" }, "to below 1"],
    ["an outer rate of nobody", { outerLr: "0.5" }, "--outer-lr is of no use"],
    ["an outer momentum of nobody", { sync: "ddp", outerMomentum: "0" }, "with ddp"],
    ["a world upside down", { world: "4:2" }, "min:max"],
    ["an empty world", { world: "0:2" }, "from 1 to 1024"],
    ["too large a world", { world: "1025" }, "from 1 to 1024"],
    ["a time without a unit", { heartbeat: "500" }, "as in 500ms"],
    ["a heart that races", { heartbeat: "1ms" }, "from 50ms"],
    ["a heart that sleeps", { heartbeat: "2m" }, "to 60s"],
    ["no name", { runId: "" }, "up to 200 characters"],
    ["a long name", { runId: "é".repeat(201) }, "up to 200 characters"],
    ["threads", { ringThreads: "17" }, "from 0 to 16"],
    ["threads", { ringThreads: "1.5" }, "from 0 to 16"],
    ["the rings' port", { ringPort: "65521" }, "from 0 to 65520"],
    ["a node id", { nodeId: "a b" }, "1 to 64 letters"],
    ["an address", { advertise: "10.0.0.7" }, "host:port"],
    ["port 0", { advertise: "10.0.0.7:0" }, "host:port"],
    ["a port", { listen: "lo:65536" }, "eth0:29400"],
    ["a scheme", { rdzv: "http://h:1", runId: "r" }, "ws://host:port"],
    ["no port", { rdzv: "ws://h", runId: "r" }, "ws://host:port"],
    ["one of two", { rdzv: "ws://h:1,", runId: "r" }, "ws://host:port"],
    ["NATS from afar", { rdzv: "nats://h:4222", runId: "r" }, "cannot reach this node"],
    ["NATS without a run", { rdzv: "nats://localhost:4222" }, "--run-id nor FORGE_RUN_ID"],
    ["NATS and nodes", { rdzv: "nats://h:4222,ws://h:1", runId: "r" }, "either ws://"],
    ["no run id", { rdzv: "ws://127.0.0.1:1" }, "--run-id nor FORGE_RUN_ID"],
    ["no token", { tokenFile: undefined as unknown as string }, "--token-file"],
    ["all interfaces", { listen: "0.0.0.0:1" }, "--expose-all"],
    ["all interfaces", { listen: "[::]:1" }, "--expose-all"],
    ["all interfaces", { metrics: "0.0.0.0:1" }, "--expose-all"],
    ["a place for metrics", { metrics: "1:2:3" }, "as in :29501"],
    ["all interfaces, nowhere", { listen: "0.0.0.0", exposeAll: true }, "--advertise"],
    ["a loopback ring", { rdzv: "ws://10.0.0.1:1", runId: "r" }, "cannot reach this node"],
    ["half a certificate", { tlsCert: "c" }, "--tls-key"],
    ["half a certificate", { tlsKey: "k" }, "--tls-cert"],
    ["TLS for nothing", { rdzv: "ws://localhost:1", runId: "r", tlsCa: "a" }, "write wss://"],
    ["TLS by half", { tlsCa: "a" }, "the others dial a trainer"],
    ["TLS by half at NATS", { rdzv: "nats://localhost:1", runId: "r", tlsCa: "a" }, "--tls-cert"],
    ["half of TLS", { rdzv: "wss://localhost:1", runId: "r" }, "--tls-cert and --tls-key"],
  ])("%s", (_name, flags, hint) => expect(refusal(flags)).toContain(hint));

  it("all interfaces need a port that others know", () => {
    const open = { rdzv: "ws://n0:1", runId: "r", listen: "0.0.0.0", exposeAll: true };
    expect(refusal(open, SLURM)).toContain("--advertise");
  });

  it("shows the beginning of what is too long to show", () => {
    expect(refusal({ wire: "x".repeat(1e6) }).length).toBeLessThan(400);
  });

  it("a machine of any name has a node's", () => {
    const named = { ...MACHINE, hostname: `é machine ${"x".repeat(80)}` };
    const { nodeId } = nodeSettings({ tokenFile: "/t" }, {}, named);
    expect(nodeId.value).toMatch(/^[A-Za-z0-9._-]{1,64}$/);
  });

  it("names the variable, if it is one", () => {
    expect(refusal({}, { FORGE_WIRE: "fp32" })).toContain("FORGE_WIRE");
    expect(refusal({}, { FORGE_EXPOSE_ALL: "yes" })).toContain("FORGE_EXPOSE_ALL");
  });

  it("warns of variables that mean nothing, and of the clear", () => {
    const env = { FORGE_WROLD: "2", FORGE_ELSEWHERE_USED: "1" };
    expect(settings({}, env).warnings).toEqual([
      "FORGE_WROLD means nothing; did you mean FORGE_WORLD?",
    ]);
    const far = { rdzv: "ws://10.0.0.1:1", runId: "r", listen: "eth0" };
    expect(settings(far).warnings.join()).toContain("not encrypted");
    const tls = { rdzv: "wss://10.0.0.1:1", tlsCert: "c", tlsKey: "k" };
    expect(settings({ ...far, ...tls }).warnings).toEqual([]);
    expect(settings({ ...far, ...tls, advertise: "h:1" }).advertise.value).toBe("wss://h:1");
  });
});

describe("a token", () => {
  it.each<[string, NodeSettingFlags, Record<string, string>]>([
    ["by --token", { token: TOKEN }, {}],
    ["by FORGE_TOKEN", {}, { FORGE_TOKEN: TOKEN }],
    ["instead of its file", { tokenFile: TOKEN }, {}],
    ["of rollouts instead of its file", { tokenFile: `rollout:${TOKEN}` }, {}],
    ["as a user", { rdzv: `ws://user:${TOKEN}@h:1` }, {}],
    ["as a user, without a scheme", { rdzv: `user:${TOKEN}@h:1` }, {}],
    ["in a query", { rdzv: `ws://h:1?token=${TOKEN}` }, {}],
    ["in a fragment", { rdzv: `ws://h:1#${TOKEN}` }, {}],
    ["in a path", { rdzv: `ws://h:1/${TOKEN}` }, {}],
    ["in the second address", {}, { FORGE_RDZV: `ws://h:1,ws://h:2/${TOKEN}` }],
    ["as an id", { runId: TOKEN }, {}],
    ["as an address", { advertise: `x:${TOKEN}@h:1` }, {}],
  ])("is refused %s, and shown nowhere", (_name, flags, env) => {
    const message = refusal(flags, env);
    expect(message).toContain("--token-file");
    expect(message).not.toContain(TOKEN.slice(0, 8));
  });
});

it("any flags and variables give settings, or a config_invalid", () => {
  const word = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.constantFrom("ws://h:1", "2:3", "0", "1", "n[0-3]", "eth0:5", "0.0.0.0", "rollout", "True"),
  );
  const names = [...Object.keys({ ...TORCHRUN, ...SLURM, ...JOBSET }), "FORGE_RDZV", "FORGE_ROLE"];
  const flagNames = ["rdzv", "listen", "world", "role", "runId", "advertise", "sync", "heartbeat"];
  const some = (keys: readonly string[]): fc.Arbitrary<Record<string, string>> =>
    fc.dictionary(fc.constantFrom(...keys), word);
  fc.assert(
    fc.property(some(flagNames), some(names), (flags, env) => {
      try {
        const { nodeId, runId, listen } = settings(flags, env);
        expect(nodeId.value).toMatch(/^[A-Za-z0-9._-]{1,64}$/);
        expect(runId.value).toMatch(/^[0-9a-f]{32}$/);
        expect(listen.value.port).toBeLessThan(2 ** 16);
      } catch (error) {
        expect(error).toHaveProperty("code", "config_invalid");
      }
    }),
  );
});
