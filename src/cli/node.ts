/**
 * `forge-gpu node`: one node of a cluster, which it begins or joins.
 */
import { Command, Option } from "commander";
import { CONFIG_ARGUMENT } from "./config-path.ts";
import type { NodeFlags, RunClusterNode } from "./noding.ts";
import { repeated } from "./values.ts";

const HELP = `
Each of these flags has a variable, which it goes before: --ring-threads is FORGE_RING_THREADS, and --resume by itself
FORGE_RESUME=run-id. Where neither is set, what torchrun, Slurm or a Kubernetes JobSet say is taken; --print-settings shows what
came from where.

Nodes of one launcher find each other. Else the first is started without --rdzv, or with its own address there, and the others
with --rdzv, --run-id and --token-file. A token is 32 random bytes of hex in a file: openssl rand -hex 32.

Exit codes: 0 the run is done; 75 start the node again; 78 the settings are wrong, and starting it again is of no use;
1 anything else. SIGTERM ends the step under way and leaves.`;

/** The `node` command; `runClusterNode` is what it does when the settings are understood. */
export function nodeCommand(runClusterNode: RunClusterNode): Command {
  return new Command("node")
    .description("begin or join a cluster that trains one policy")
    .argument("[config]", CONFIG_ARGUMENT)
    .option(
      "--role <role>",
      "trainer, or rollout: plays, and never sees a gradient (default: trainer)",
    )
    .option(
      "--world <min:max>",
      "trainers that a step needs, and that are let in at most (default: 1:1024, or by the launcher more than half of its nodes, and all)",
    )
    .option(
      "--rdzv <url>",
      "who is in the cluster: ws://host:port or wss://host:port, or some with commas between; or where they meet: nats://host:port, tls://host:port (default: the launcher's nodes, else nobody)",
    )
    .option(
      "--run-id <id>",
      "32 digits of hex, or a name that all nodes are given (default: the launcher's, else a new one)",
    )
    .option("--node-id <id>", "this node's name (default: by the launcher's rank, else a new one)")
    .option(
      "--listen <if:port>",
      "interface, address or name of this machine, and port, 0 for any (default: 127.0.0.1:0)",
    )
    .option("--expose-all", "let --listen be all interfaces at once, as in 0.0.0.0:29400")
    .option("--advertise <host:port>", "where others dial this node (default: where it listens)")
    .option("--nats-creds <path>", "file of what the servers of NATS know this node by")
    .option("--token-file <path>", "file with the run's token, or that of its rollout nodes")
    .addOption(new Option("--token <text>").hideHelp())
    .option("--tls-cert <path>", "this node's certificate, in PEM, which names its id")
    .option("--tls-key <path>", "the certificate's key, in PEM")
    .option("--tls-ca <path>", "who signs the others' certificates, in PEM; asks all for theirs")
    .option(
      "--ring-threads <count>",
      "rings beside each other, a thread each, as many at all nodes; 0: one on the main thread (default: 1)",
    )
    .option("--ring-port <port>", "of the first ring; others follow it (default: any)")
    .option("--wire <type>", "gradients as they travel: f32, bf16, int8 (default: f32)")
    .option(
      "--sync <way>",
      "zero1, ddp, or diloco:H, for slow links: weights go round at every H-th step only (default: zero1)",
    )
    .option("--outer-lr <rate>", "with diloco: of the step that nodes make together (default: 1)")
    .option(
      "--outer-momentum <share>",
      "with diloco: Nesterov's, of that step (default: 0, the mean)",
    )
    .option(
      "--heartbeat <time>",
      "between two signs of life, as in 500ms; three missed are a death (default: 500ms)",
    )
    .option("--join-timeout <time>", "how long to look for the cluster (default: 60s)")
    .option("--state-dir <path>", "where this node keeps its files (default: the run directory)")
    .option(
      "--metrics <if:port>",
      "where Prometheus reads metrics, at /metrics; a port alone, as in :29501, is of 127.0.0.1 (default: nowhere)",
    )
    .option(
      "--resume [directory]",
      "where it begins the cluster: go on with a run, or from one of its checkpoints (without one: with what it has of the run of --run-id, if anything)",
    )
    .option(
      "--set <key=value>",
      "change a key of the configuration, as in optimizer.lr=1e-4; may be repeated",
      repeated(String),
    )
    .option("--adapter <name>", "part of the GPU's name (default: hardware before software)")
    .addOption(new Option("--follow").hideHelp())
    .option("--print-settings", "print each setting and where it is from, and stop")
    .option("--json", "print one JSON document on stdout")
    .addHelpText("after", HELP)
    .action(async (config: string | undefined, flags: NodeFlags) => {
      const { runNode } = await import("./noding.ts");
      await runNode(config, flags, runClusterNode);
    });
}
