/** Variables of Slurm's srun. */
import type { Environment, Launch } from "./launch.ts";
import { expandNodelist } from "./nodelist.ts";
import { count, text, worldOf } from "./read.ts";

/** Ports of jobs: two that share a machine seldom have the same. */
const PORTS = { first: 20_000, count: 20_000 };

/**
 * All tasks of a host listen on ports of their own, from that of the job on; contacts are the first task of each host.
 * The jobs of an array know nothing of each other: they join by `--rdzv` and `--run-id`.
 *
 * Errors    `config_invalid`.
 */
export function slurm(env: Environment): Launch {
  const job = count(env, "SLURM_JOB_ID");
  if (job === undefined) return {};
  const hostName = text(env, "SLURMD_NODENAME");
  const restarts = count(env, "SLURM_RESTART_COUNT");
  const alone: Launch = {
    ...(hostName && { host: hostName }),
    ...(restarts && { restarts }),
    group: { value: `slurm ${job.value}`, source: job.source },
  };
  if (env["SLURM_ARRAY_TASK_ID"] !== undefined) return alone;
  const rank = count(env, "SLURM_PROCID");
  const tasks = count(env, "SLURM_NTASKS");
  const world = tasks && worldOf(tasks);
  const first = PORTS.first + (job.value % PORTS.count);
  const list = text(env, "SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST");
  const hosts = list && expandNodelist(list.value);
  return {
    ...alone,
    ...(rank && { rank }),
    ...(world && { world }),
    ...(list &&
      hosts && {
        contacts: { value: hosts.map((host) => `${host}:${first}`), source: list.source },
      }),
    port: { value: first + (count(env, "SLURM_LOCALID")?.value ?? 0), source: job.source },
    run: { value: `slurm ${job.value}`, source: job.source },
  };
}
