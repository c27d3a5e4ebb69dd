/** Saves two models to one directory in turns until it is killed; says each time that it has. Run by kill.test.ts. */
import { openDevice, setDefaultDevice } from "../../../engine/index.ts";
import { saveModelDirectory } from "../../../src/models/directory.ts";
import { turnModel, turnOptions } from "./turn-models.ts";

const [target] = process.argv.slice(2) as [string];
setDefaultDevice(await openDevice());
const models = [turnModel(0), turnModel(1)];
for (let turn = 0; ; turn = 1 - turn) {
  await saveModelDirectory(models[turn] as (typeof models)[0], target, turnOptions(turn));
  process.stdout.write("saved\n");
}
