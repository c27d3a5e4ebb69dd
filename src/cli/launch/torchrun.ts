/** Variables of torchrun, and of operators that set what it takes (`PET_…`). */
import { DEFAULT_PORT, type Environment, type Launch, type Setting } from "./launch.ts";
import { count, text, worldOf } from "./read.ts";

/** See the file's head. Errors: `config_invalid`. */
export function torchrun(env: Environment): Launch {
  const rank = count(env, "RANK", "PET_NODE_RANK");
  const size = count(env, "WORLD_SIZE");
  const world = (size && worldOf(size)) ?? text(env, "PET_NNODES");
  const contacts = meeting(env);
  const run = runOf(env, contacts);
  const restarts = count(env, "TORCHELASTIC_RESTART_COUNT");
  return {
    ...(rank && { rank }),
    ...(world && { world }),
    ...(contacts && { contacts }),
    ...(run && { run, group: run }),
    ...(restarts && { restarts }),
  };
}

function meeting(env: Environment): Setting<readonly string[]> | undefined {
  const master = text(env, "MASTER_ADDR");
  if (master === undefined) {
    const endpoint = text(env, "PET_RDZV_ENDPOINT");
    return endpoint && { value: [withPort(endpoint.value)], source: endpoint.source };
  }
  const port = count(env, "MASTER_PORT")?.value ?? DEFAULT_PORT;
  // torchrun's agent listens there itself, and says so
  const isTaken = env["TORCHELASTIC_USE_AGENT_STORE"] === "True";
  return {
    value: [`${bracketed(master.value)}:${isTaken ? port + 1 : port}`],
    source: master.source,
  };
}

function withPort(endpoint: string): string {
  return /:\d+$/.test(endpoint) ? endpoint : `${endpoint}:${DEFAULT_PORT}`;
}

/** An address of IPv6 as URLs have it. */
function bracketed(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}

/** torchrun calls a run `none` that nobody has named; where it meets sets it apart then. */
function runOf(
  env: Environment,
  contacts: Setting<readonly string[]> | undefined,
): Setting<string> | undefined {
  const id = text(env, "TORCHELASTIC_RUN_ID", "PET_RDZV_ID");
  if (id === undefined) return undefined;
  const where = id.value === "none" ? ` at ${contacts?.value[0] ?? "nowhere"}` : "";
  return { value: `torchrun ${id.value}${where}`, source: id.source };
}
