/** The launchers that are understood. */
import { jobSet } from "./job-set.ts";
import type { Environment, Launch } from "./launch.ts";
import { slurm } from "./slurm.ts";
import { torchrun } from "./torchrun.ts";

/**
 * All that is known, each part from the first that knows it: torchrun, Slurm, JobSet. Contacts and port are of the same.
 *
 * @param hostname this machine's own
 *
 * Errors    `config_invalid` for variables that their launcher would not have set so.
 */
export function launchOf(environment: Environment, hostname: string): Launch {
  // an empty variable is how manifests and scripts leave one out
  const env = Object.fromEntries(Object.entries(environment).filter(([, text]) => text));
  const launches: readonly Launch[] = [torchrun(env), slurm(env), jobSet(env, hostname)];
  const { port: _, ...parts }: Launch = Object.assign({}, ...launches.toReversed());
  const port = launches.find(({ contacts }) => contacts)?.port;
  return { ...parts, ...(port && { port }) };
}
