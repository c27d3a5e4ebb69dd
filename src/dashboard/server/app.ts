/** The dashboard's server: the page, and what it asks for. */
import { type Context, Hono } from "hono";
import { streamSSE } from "hono/streaming";
import * as z from "zod";
import { guard } from "../../page-server/guard.ts";
import { addPage } from "../../page-server/page-files.ts";
import type { ApiError, RunList, RunNews } from "../api.ts";
import type { RunLibrary } from "./run-library.ts";
import type { RunReader } from "./run-reader.ts";
import { Watch } from "./watch.ts";

/** What a server is made of. */
export interface DashboardParts {
  readonly library: RunLibrary;
  /** Folder of the built page. */
  readonly page: string;
  /** The host that it listens at. */
  readonly host: string;
}

/** A large log is read for so long before the answer says how far that went. */
const PATIENCE_MS = 400;
/** Between two signs of life, by which connections that are gone are noticed. */
const BEAT_MS = 15_000;
const ROWS_LIMIT = 500;

const whole = z.coerce.number().int().min(0);

const ROLLOUT_QUERY = z.strictObject({
  sort: z
    .enum(["number", "step", "task", "reward", "tokens", "turns", "toolCalls", "surprise"])
    .default("number"),
  order: z.enum(["asc", "desc"]).default("asc"),
  offset: whole.default(0),
  limit: whole.max(ROWS_LIMIT).default(100),
  success: z.stringbool({ truthy: ["true"], falsy: ["false"] }).optional(),
  status: z.string().optional(),
  step: whole.optional(),
  text: z.string().max(1000).optional(),
});

const METRICS_QUERY = z.strictObject({
  from: whole.default(0),
  generation: whole.default(0),
});

/** The server as a function of requests. */
export function dashboardApp({ library, page, host }: DashboardParts): Hono {
  const app = new Hono();
  const watch = new Watch(library);
  app.use(guard(host));
  addPage(app, page);
  app.use("/api/*", async (context, next) => {
    await next();
    context.res.headers.set("Cache-Control", "no-store");
  });
  app.get("/api/runs", async (context) => {
    await library.refresh();
    return context.json({ runs: library.heads(), places: library.places } satisfies RunList);
  });
  app.get("/api/events", (context) => sendNews(context, watch));
  addRun(app, library);
  app.notFound((context) =>
    context.json({ error: "there is nothing here" } satisfies ApiError, 404),
  );
  app.onError((error, context) => {
    const isAsked = error instanceof z.ZodError;
    const text = isAsked ? z.prettifyError(error) : error.message;
    return context.json({ error: text } satisfies ApiError, isAsked ? 400 : 500);
  });
  return app;
}

function addRun(app: Hono, library: RunLibrary): void {
  /** Answers for the run that the path names. */
  const get = (path: string, answer: (context: Context, run: RunReader) => Promise<Response>) =>
    app.get(`/api/runs/:name/:time${path}`, async (context) => {
      const id = `${context.req.param("name")}/${context.req.param("time")}`;
      if (!library.run(id)) await library.refresh();
      const run = library.run(id);
      if (!run) return context.json({ error: `there is no run ${id}` } satisfies ApiError, 404);
      await run.refresh();
      return answer(context, run);
    });
  get("", async (context, run) => context.json(run.details));
  get("/metrics", async (context, run) => {
    const { from, generation } = METRICS_QUERY.parse(context.req.query());
    return context.json(run.metrics.rowsFrom(from, generation));
  });
  get("/rollouts", async (context, run) => {
    const query = ROLLOUT_QUERY.parse(context.req.query());
    await within(PATIENCE_MS, run.rollouts.follow());
    return context.json(run.rollouts.list(query));
  });
  get("/rollouts/:number", async (context, run) => {
    const number = whole.parse(context.req.param("number"));
    await within(PATIENCE_MS, run.rollouts.follow());
    const details = await run.rollouts.details(number);
    if (details) return context.json(details);
    const { totals } = run.rollouts.list(ROLLOUT_QUERY.parse({ limit: 0 }));
    const isLate = totals.read < totals.size;
    const error = isLate ? "its log is still being read" : `the run has no rollout ${number}`;
    return context.json({ error } satisfies ApiError, isLate ? 503 : 404);
  });
}

/** The event stream: `runs`, with a list of {@link RunNews}. */
function sendNews(context: Context, watch: Watch): Response {
  return streamSSE(context, async (stream) => {
    const send = (news: readonly RunNews[]): void =>
      void stream.writeSSE({ event: "runs", data: JSON.stringify(news) });
    const leave = watch.listen(send);
    stream.onAbort(leave);
    send([]);
    while (!stream.aborted) {
      await stream.sleep(BEAT_MS);
      await stream.write(": alive\n\n");
    }
  });
}

/** Waits for work, but not for ever. */
async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  work.catch(() => undefined); // told by whoever still waits
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}
