/** The second of two processes of the all-reduce benchmark: told on its standard input what to do, line by line. */
import { createInterface } from "node:readline";
import { AllreduceRank, type Way } from "./allreduce-rank.ts";

const rank = await AllreduceRank.open(1);
const say = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
say({ url: rank.url, port: await rank.listen() });
for await (const line of createInterface({ input: process.stdin })) {
  if (line.startsWith("ws:")) await rank.begin(line);
  else {
    const [way = "", isChecked] = line.split(" ");
    const before = process.cpuUsage();
    await rank.run(way as Way);
    const { user, system } = process.cpuUsage(before);
    if (isChecked) rank.check();
    say({ cpuMicroseconds: user + system });
  }
}
process.exit(0);
