/**
 * Variables of Kubernetes. An Indexed Job sets `JOB_COMPLETION_INDEX`; the rest is in labels of JobSet, which
 * `deploy/jobset.yaml` hands on as variables of these names.
 */
import { DEFAULT_PORT, type Environment, type Launch } from "./launch.ts";
import { count, text } from "./read.ts";

/** Pods beside the coordinator that are asked at most. */
const MOST_CONTACTS = 16;

/** A coordinator's name: `<jobset>-<job>-<job index>-<pod index>.<subdomain>`. */
const COORDINATOR = /^([a-z0-9-]+-)\d+(\.[a-z0-9.-]+)$/;

/**
 * See the file's head. The coordinator's siblings are contacts too: who comes back finds those who went on.
 *
 * @param hostname the pod's own
 *
 * Errors    `config_invalid`.
 */
export function jobSet(env: Environment, hostname: string): Launch {
  const rank = count(env, "JOB_COMPLETION_INDEX");
  if (rank === undefined) return {};
  const uid = text(env, "JOBSET_UID");
  const coordinator = text(env, "JOBSET_COORDINATOR");
  const restarts = count(env, "JOBSET_RESTART_ATTEMPT");
  const [, stem, domain] = COORDINATOR.exec(coordinator?.value ?? "") ?? [];
  const names = [coordinator?.value ?? ""];
  for (let i = 0; stem && i < MOST_CONTACTS; i++) names.push(`${stem}${i}${domain}`);
  const job = `${env["JOBSET_REPLICATED_JOB"] ?? ""}-${env["JOBSET_JOB_INDEX"] ?? ""}`;
  return {
    rank,
    ...(coordinator && {
      contacts: {
        value: [...new Set(names)].map((name) => `${name}:${DEFAULT_PORT}`),
        source: coordinator.source,
      },
      port: { value: DEFAULT_PORT, source: coordinator.source },
    }),
    ...(domain && { host: { value: `${hostname}${domain}`, source: "JOBSET_COORDINATOR" } }),
    ...(uid && {
      run: { value: `jobset ${uid.value}`, source: uid.source },
      group: { value: `jobset ${uid.value} ${job}`, source: uid.source },
    }),
    ...(restarts && { restarts }),
  };
}
