/** The rollouts of a run: filtered, sorted, a page at a time. All of that is in the address. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { RolloutList, RolloutRow, RolloutSort, RolloutTotals } from "../api.ts";
import { useAnswer, useNews } from "./api-client.ts";
import { SuccessMark, Trouble } from "./parts.tsx";
import { QUICK_LISTS } from "./quick-lists.ts";
import { Filters, type Go } from "./rollout-filters.tsx";
import { href, pathOf } from "./route.ts";
import { visible } from "./visible-text.tsx";
import { countText, figureText } from "./words.ts";

const PAGE_ROWS = 100;
/** While a large log is read for the first time, it is asked for again so often. */
const AGAIN_MS = 700;

interface Column {
  readonly key: RolloutSort | "success" | "status" | "excerpt";
  readonly label: string;
  readonly title: string;
}

const COLUMNS: readonly Column[] = [
  { key: "step", label: "Step", title: "The step that trained on it" },
  { key: "task", label: "Task", title: "What people call the task" },
  { key: "reward", label: "Reward", title: "Weighted, of the whole episode" },
  { key: "success", label: "Solved", title: "Whether it counts as solved" },
  { key: "tokens", label: "Tokens", title: "Tokens that the policy sampled" },
  { key: "turns", label: "Turns", title: "Requests to the policy" },
  { key: "toolCalls", label: "Tools", title: "Calls of tools, and how many did not succeed" },
  { key: "surprise", label: "Surprise", title: "The greatest |advantage| × −log-prob of a token" },
  { key: "status", label: "Status", title: "How it ended" },
  { key: "excerpt", label: "Last answer", title: "How the last answer begins" },
];

const SORTABLE: readonly string[] = [
  "step",
  "task",
  "reward",
  "tokens",
  "turns",
  "toolCalls",
  "surprise",
];

interface RolloutsViewProps {
  readonly id: string;
  readonly query: URLSearchParams;
}

/** See the file's head. */
export function RolloutsView({ id, query }: RolloutsViewProps): JSX.Element {
  const [tries, setTries] = useState(0);
  const news = useNews(id);
  const asked = new URLSearchParams(query);
  asked.set("limit", String(PAGE_ROWS));
  const url = `/api/runs/${pathOf(id)}/rollouts?${asked}`;
  const { data, error } = useAnswer<RolloutList>(url, `${news} ${tries}`);
  const isReading = data !== undefined && data.totals.read < data.totals.size;
  useEffect(() => {
    if (!isReading) return;
    const timer = setTimeout(() => setTries(tries + 1), AGAIN_MS);
    return () => clearTimeout(timer);
  }, [isReading, tries]);

  const go: Go = (changes) => {
    const next = new URLSearchParams(query);
    next.delete("offset");
    for (const [key, value] of Object.entries(changes)) {
      if (value === "") next.delete(key);
      else next.set(key, value);
    }
    location.replace(href({ view: "rollouts", run: id, query: next }));
  };
  const quick = QUICK_LISTS.find(
    (list) =>
      list.query["sort"] === query.get("sort") && list.query["order"] === query.get("order"),
  );
  return (
    <>
      <Filters query={query} totals={data?.totals} go={go} />
      {error !== undefined && <Trouble text={error} />}
      {quick && (
        <p class="muted small">
          {quick.label}: {lowered(quick.title)}.
        </p>
      )}
      {isReading && <Reading totals={data.totals} />}
      {data && data.totals.unreadable > 0 && (
        <p class="muted small">
          {countText(data.totals.unreadable)} lines of rollouts.jsonl are no rollouts and are left
          out.
        </p>
      )}
      {data && data.rows.length === 0 && !isReading && <Nothing totals={data.totals} />}
      {data && data.rows.length > 0 && (
        <>
          <Pages {...{ id, query, matches: data.matches, shown: data.rows.length }} />
          <RolloutTable {...{ id, query, rows: data.rows, go }} />
          {data.rows.length > 20 && (
            <Pages {...{ id, query, matches: data.matches, shown: data.rows.length }} />
          )}
        </>
      )}
    </>
  );
}

interface PagesProps {
  readonly id: string;
  readonly query: URLSearchParams;
  readonly matches: number;
  readonly shown: number;
}

function Pages({ id, query, matches, shown }: PagesProps): JSX.Element {
  const offset = Number(query.get("offset") ?? 0);
  const link = (to: number, label: string): JSX.Element => {
    const next = new URLSearchParams(query);
    next.set("offset", String(Math.max(0, to)));
    const isThere = to < matches && to > -PAGE_ROWS && to !== offset;
    return isThere ? (
      <a class="button" href={href({ view: "rollouts", run: id, query: next })}>
        {label}
      </a>
    ) : (
      <span class="button off" aria-disabled="true">
        {label}
      </span>
    );
  };
  return (
    <nav class="bar pages" aria-label="Pages">
      <span class="tabular muted">
        {countText(offset + 1)}–{countText(offset + shown)} of {countText(matches)}
      </span>
      {matches > PAGE_ROWS && (
        <>
          {link(0, "First")}
          {link(offset - PAGE_ROWS, "Previous")}
          {link(offset + PAGE_ROWS, "Next")}
          {link(Math.floor((matches - 1) / PAGE_ROWS) * PAGE_ROWS, "Last")}
        </>
      )}
    </nav>
  );
}

interface RolloutTableProps {
  readonly id: string;
  readonly query: URLSearchParams;
  readonly rows: readonly RolloutRow[];
  readonly go: Go;
}

function RolloutTable({ id, query, rows, go }: RolloutTableProps): JSX.Element {
  const [sort, order] = [query.get("sort"), query.get("order") ?? "asc"];
  // what the eye looks for first is at the top
  const sortBy = (key: string): void =>
    go({
      sort: key,
      order: key === sort ? (order === "asc" ? "desc" : "asc") : key === "task" ? "asc" : "desc",
    });
  return (
    <table class="rollouts">
      <thead>
        <tr>
          {COLUMNS.map(({ key, label, title }) => (
            <th
              key={key}
              scope="col"
              class={`column-${key}`}
              title={title}
              aria-sort={key !== sort ? undefined : order === "asc" ? "ascending" : "descending"}
            >
              {SORTABLE.includes(key) ? (
                <button type="button" onClick={() => sortBy(key)}>
                  {label}
                  <span aria-hidden="true">
                    {key !== sort ? "" : order === "asc" ? " ↑" : " ↓"}
                  </span>
                </button>
              ) : (
                label
              )}
            </th>
          ))}
        </tr>
      </thead>
      <tbody onKeyDown={moveFocus}>
        {rows.map((row) => (
          <RowOf
            key={row.number}
            link={href({ view: "rollout", run: id, number: row.number, query })}
            row={row}
          />
        ))}
      </tbody>
    </table>
  );
}

function RowOf({ row, link }: { row: RolloutRow; link: string }): JSX.Element {
  const { step, task, reward, isSuccess, tokens, turns, toolCalls, toolErrors, surprise, status } =
    row;
  return (
    <tr>
      <td class="column-step tabular">{step}</td>
      <td class="column-task">
        <a href={link}>{visible(task || `rollout ${row.number}`)}</a>
      </td>
      <td class="column-reward tabular">{figureText(reward)}</td>
      <td class="column-success">
        <SuccessMark isSuccess={isSuccess} />
      </td>
      <td class="column-tokens tabular">{countText(tokens)}</td>
      <td class="column-turns tabular">{turns}</td>
      <td class="column-toolCalls tabular">
        {toolCalls === 0 ? <span class="muted">–</span> : toolCalls}
        {toolErrors > 0 && <span class="bad" title="did not succeed">{` (${toolErrors}!)`}</span>}
      </td>
      <td class="column-surprise tabular">{figureText(surprise)}</td>
      <td class="column-status">{visible(status)}</td>
      <td class="column-excerpt">
        <span class="text excerpt">{visible(row.excerpt.replaceAll("\n", "↵"))}</span>
      </td>
    </tr>
  );
}

/** Arrow keys go from row to row. */
function moveFocus(event: KeyboardEvent): void {
  const way = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  if (way === undefined || !(event.target instanceof HTMLElement)) return;
  const row = event.target.closest("tr")?.[way as "nextElementSibling" | "previousElementSibling"];
  const link = row?.querySelector("a");
  if (!link) return;
  event.preventDefault();
  link.focus();
}

function Reading({ totals: { read, size } }: { totals: RolloutTotals }): JSX.Element {
  return (
    <p class="muted small" role="status">
      Reading rollouts.jsonl <progress value={read} max={size} /> {Math.round((100 * read) / size)}{" "}
      %
    </p>
  );
}

function Nothing({ totals }: { totals: RolloutTotals }): JSX.Element {
  return (
    <p class="empty">
      {totals.rollouts > 0
        ? `None of the ${countText(totals.rollouts)} rollouts is like that.`
        : "No rollouts were written. run.rolloutsEvery says how often they are; training on demonstrations has none."}
    </p>
  );
}

function lowered(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}
