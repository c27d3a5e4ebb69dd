/** `npx tsx test/support/cluster/replay.ts SEED`: lives through a schedule again, and says what happens in it. */
import { runSchedule } from "./schedule.ts";

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const { faults, ...outcome } = runSchedule(Number(process.argv[2]), say);
say(JSON.stringify({ ...outcome, faults: [...faults] }));
