/** A player in a process of its own: it says on its standard output which groups are stored. Takes the server's URL and its name. */
import { NatsPlayer } from "../../../support/nats-player.ts";

const [, , url = "", name = ""] = process.argv;
await NatsPlayer.open(url, name, {
  play: () => new Promise((resolve) => setTimeout(resolve, 10)),
  onGiven: ({ groupId }) => process.stdout.write(`${groupId}\n`),
});
// it ends with its parent
process.stdin.resume().once("close", () => process.exit(0));
