/** What is told of each domain of a mix of environments by itself. */
import type { Environment } from "../../agent/environment.ts";

/**
 * Whether an episode was a success as a component of its domain, `<domain>/success_rate`, and `null` as that of the others.
 * Nothing where environments are not mixed.
 */
export function domainSuccess(
  { domains = [] }: Pick<Environment, "domains">,
  taskId: string,
  isSuccess: boolean,
): Record<string, number | null> {
  const own = taskId.slice(0, Math.max(0, taskId.indexOf("/")));
  return Object.fromEntries(
    domains.map((name) => [`${name}/success_rate`, name === own ? Number(isSuccess) : null]),
  );
}
