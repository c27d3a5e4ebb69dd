/**
 * `forge-gpu cluster`: looks at a cluster from outside.
 */
import { Command } from "commander";
import type { StatusFlags } from "./cluster-status.ts";

/** The `cluster` command. */
export function clusterCommand(): Command {
  const status = new Command("status")
    .description("say who is in a cluster, how far it is, and whether its nodes agree")
    .requiredOption("--rdzv <url>", "any node of it: ws://host:port or wss://host:port")
    .requiredOption("--run-id <id>", "the run's id, as its nodes say it")
    .requiredOption(
      "--token-file <path>",
      "file with the run's token, or that of its rollout nodes",
    )
    .option("--tls-ca <path>", "who signs the nodes' certificates, in PEM")
    .option("--tls-cert <path>", "a certificate of your own, where nodes ask for one")
    .option("--tls-key <path>", "the certificate's key")
    .option("--json", "print one JSON document on stdout")
    .action(async (flags: StatusFlags) => {
      const { runStatus } = await import("./cluster-status.ts");
      await runStatus(flags);
    });
  return new Command("cluster").description("look at a cluster").addCommand(status);
}
