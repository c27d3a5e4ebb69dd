/** What `forge-gpu bench allreduce` does. */
import { type AllreduceOptions, allreduceText, benchAllreduce } from "../bench/allreduce.ts";
import { hostOf, hostText } from "../bench/machine.ts";
import { printJson } from "./json.ts";
import { manifest } from "./manifest.ts";

/** Options of the command. */
export interface AllreduceFlags extends AllreduceOptions {
  readonly json?: true;
}

/** Measures, and prints a table or one JSON document. */
export async function runAllreduce({ json, ...options }: AllreduceFlags): Promise<void> {
  const host = hostOf({ "forge-gpu": manifest.version });
  const report = await benchAllreduce(options);
  if (json) printJson({ host, ...report });
  else process.stdout.write(`${hostText(host)}\n\n${allreduceText(report)}\n`);
}
