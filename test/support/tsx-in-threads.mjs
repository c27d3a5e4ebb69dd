/** For `--import`: loads TypeScript in every thread, where tsx by itself does so in the main thread only. */
import { register } from "tsx/esm/api";

register();
