/**
 * `node rollout-token.mjs < token > rollout-token`: the token of a run's rollout nodes, of the run's.
 *
 * Who has it can play for the run; neither can he pass for a trainer, nor find out the run's token.
 */
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";

const token = readFileSync(0, "utf8").trim();
if (!/^[0-9a-f]{64}$/.test(token)) {
  process.stderr.write(
    "there is no token of a run on standard input: 64 digits of lower-case hex\n",
  );
  process.exit(78);
}
const key = Buffer.from(token, "hex");
const rollout = createHmac("sha256", key).update("forge-gpu token of a rollout").digest("hex");
process.stdout.write(`rollout:${rollout}\n`);
