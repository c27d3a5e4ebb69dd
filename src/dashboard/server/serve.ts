/** The dashboard's server on a port. */
import { existsSync } from "node:fs";
import { ForgeError } from "../../../engine/error.ts";
import { type Listening, listening } from "../../page-server/listening.ts";
import { builtPage } from "../../page-server/page-files.ts";
import { dashboardApp } from "./app.ts";
import { RunLibrary } from "./run-library.ts";

/** Where the build puts the page. */
const PAGE = "src/dashboard/page";
/** Of nobody that is known: a bookmark goes on working. */
const USUAL_PORT = 4650;

/** Options of {@link serveDashboard}. */
export interface DashboardOptions {
  /** Run directories, or folders above them. */
  readonly places: readonly string[];
  /** 0 for any that is free. Default: {@link USUAL_PORT}, or any where that is taken. */
  readonly port?: number | undefined;
  readonly host: string;
  /** Folder of the built page. Default: that of the package. */
  readonly page?: string;
}

/**
 * Serves a dashboard until it is disposed.
 *
 * @throws ForgeError `argument_invalid` for a port or host that cannot be listened at; `run_not_found` for a place that is not
 * there; `file_invalid` where no page was built
 */
export async function serveDashboard(options: DashboardOptions): Promise<Listening> {
  const { places, port, host, page = builtPage(PAGE) } = options;
  const library = new RunLibrary(places);
  const app = dashboardApp({ library, page, host });
  return listening(app, { port, usualPort: USUAL_PORT, host });
}

/** @throws ForgeError `run_not_found` */
export function checkPlaces(places: readonly string[]): void {
  for (const place of places) {
    if (existsSync(place)) continue;
    throw new ForgeError({
      code: "run_not_found",
      what: "there is no such folder of runs",
      got: place,
      fix: "name a run's directory, or a folder above it",
    });
  }
}
