/** What a run was told, and where it runs. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { RunDetails } from "../api.ts";
import { useAnswer } from "./api-client.ts";
import { leavesOf } from "./configuration.ts";
import { pathOf } from "./route.ts";

/** See the file's head. */
export function ConfigurationView({ id }: { id: string }): JSX.Element {
  const { data } = useAnswer<RunDetails>(`/api/runs/${pathOf(id)}`);
  const [words, setWords] = useState("");
  if (!data) return <p class="muted">Reading …</p>;
  const { config, ...rest } = data.record;
  const isFound = ([key, value]: [string, unknown]): boolean =>
    `${key} ${valueText(value)}`.toLowerCase().includes(words.toLowerCase());
  return (
    <>
      <div class="controls">
        <input
          type="search"
          placeholder="Find a key or a value"
          aria-label="Find a key or a value"
          value={words}
          onInput={(event) => setWords(event.currentTarget.value)}
        />
      </div>
      <section>
        <h2>Configuration</h2>
        <Keys rows={leavesOf(config).filter(isFound)} />
      </section>
      <section>
        <h2>Run</h2>
        <Keys
          rows={[["directory", data.directory] as [string, unknown], ...leavesOf(rest)].filter(
            isFound,
          )}
        />
      </section>
    </>
  );
}

function Keys({ rows }: { rows: readonly [string, unknown][] }): JSX.Element {
  return (
    <table class="keys">
      <tbody>
        {rows.map(([key, value]) => (
          <tr key={key}>
            <th scope="row">{key}</th>
            <td>{valueText(value)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A value as a configuration would say it. */
export function valueText(value: unknown): string {
  if (value === undefined) return "–";
  return typeof value === "string" ? value : JSON.stringify(value);
}
