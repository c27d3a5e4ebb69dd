/** Which rollouts are listed. */
import type { JSX } from "preact";
import type { RolloutTotals } from "../api.ts";
import { spelt } from "./visible-text.tsx";
import { countText } from "./words.ts";

/** Goes to another list of the same run: keys of its query that change, "" for those that go. */
export type Go = (changes: Readonly<Record<string, string>>) => void;

interface FiltersProps {
  readonly query: URLSearchParams;
  readonly totals: RolloutTotals | undefined;
  readonly go: Go;
}

/** See the file's head. */
export function Filters({ query, totals, go }: FiltersProps): JSX.Element {
  const statuses = Object.entries(totals?.statuses ?? {});
  return (
    <search class="controls">
      <input
        type="search"
        placeholder="Task or answer"
        aria-label="Words of the task or of the beginning of the last answer"
        value={query.get("text") ?? ""}
        onInput={(event) => go({ text: event.currentTarget.value })}
      />
      <label>
        Solved
        <select
          value={query.get("success") ?? ""}
          onChange={(event) => go({ success: event.currentTarget.value })}
        >
          <option value="">all</option>
          <option value="true">yes</option>
          <option value="false">no</option>
        </select>
      </label>
      <label>
        Status
        <select
          value={query.get("status") ?? ""}
          onChange={(event) => go({ status: event.currentTarget.value })}
        >
          <option value="">all</option>
          {statuses.map(([status, count]) => (
            <option key={status} value={status}>
              {`${spelt(status)} (${countText(count)})`}
            </option>
          ))}
        </select>
      </label>
      <label>
        Step
        <input
          type="number"
          min={totals?.firstStep ?? 0}
          max={totals?.lastStep ?? undefined}
          placeholder={totals ? `${totals.firstStep ?? ""}–${totals.lastStep ?? ""}` : ""}
          value={query.get("step") ?? ""}
          onInput={(event) => go({ step: event.currentTarget.value })}
        />
      </label>
      {[...query.keys()].some((key) => key !== "offset") && (
        <button
          type="button"
          class="quiet"
          onClick={() => go(Object.fromEntries([...query.keys()].map((key) => [key, ""])))}
        >
          Clear
        </button>
      )}
    </search>
  );
}
