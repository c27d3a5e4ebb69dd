/** One rollout: how it went, token by token, and how the others of its group did. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { RolloutDetails, RolloutRow } from "../api.ts";
import { useAnswer } from "./api-client.ts";
import { Crumbs, Figure, SuccessMark, Trouble } from "./parts.tsx";
import { href, pathOf } from "./route.ts";
import { type ColourBy, colouringOf, greatestAdvantage } from "./token-colour.ts";
import { Transcript } from "./transcript.tsx";
import { visible } from "./visible-text.tsx";
import { countText, figureText, manyText } from "./words.ts";

const COLOURINGS: readonly ColourBy[] = ["logprob", "entropy", "advantage", "mask"];

interface RolloutViewProps {
  readonly id: string;
  readonly number: number;
  /** Of the list that one came from. */
  readonly query: URLSearchParams;
}

/** See the file's head. */
export function RolloutView({ id, number, query }: RolloutViewProps): JSX.Element {
  const { data, error } = useAnswer<RolloutDetails>(`/api/runs/${pathOf(id)}/rollouts/${number}`);
  const [by, setBy] = useState<ColourBy>("logprob");
  const link = (to: number): string => href({ view: "rollout", run: id, number: to, query });
  return (
    <>
      <Crumbs>
        <a href={href({ view: "runs" })}>Runs</a>
        <a href={href({ view: "curves", run: id })}>{id.split("/")[0]}</a>
        <a href={href({ view: "rollouts", run: id, query })}>Rollouts</a>
      </Crumbs>
      <header class="bar">
        <h1>{data ? visible(data.row.task || `Rollout ${number}`) : `Rollout ${number}`}</h1>
        <span class="grow" />
        <nav class="quick" aria-label="Neighbours in the log">
          {number > 0 && (
            <a class="button" href={link(number - 1)}>
              Previous
            </a>
          )}
          {data && number + 1 < data.totals.rollouts && (
            <a class="button" href={link(number + 1)}>
              Next
            </a>
          )}
        </nav>
      </header>
      {error !== undefined && <Trouble text={error} />}
      {data && (
        <>
          <Headline row={data.row} takesPart={data.record.takesPart !== false} />
          <div class="beside">
            <div>
              <Legend by={by} most={greatestAdvantage(data.record.turns ?? [])} onChange={setBy} />
              <Transcript record={data.record} by={by} />
            </div>
            <aside>
              <Components components={data.record.components ?? {}} />
              <Group rows={data.group} number={number} link={link} />
            </aside>
          </div>
        </>
      )}
    </>
  );
}

function Headline({ row, takesPart }: { row: RolloutRow; takesPart: boolean }): JSX.Element {
  return (
    <dl class="headline">
      <Figure label="Reward">{figureText(row.reward)}</Figure>
      <Figure label="Solved">
        <SuccessMark isSuccess={row.isSuccess} />
      </Figure>
      <Figure label="Status">
        {visible(row.status || "–")}
        {!takesPart && <span class="muted small"> not trained on</span>}
      </Figure>
      <Figure label="Step">{row.step}</Figure>
      <Figure label="Turns">{row.turns}</Figure>
      <Figure label="Tokens sampled">{countText(row.tokens)}</Figure>
      <Figure label="Tool calls">
        {row.toolCalls}
        {row.toolErrors > 0 && <span class="bad small"> {row.toolErrors} did not succeed</span>}
      </Figure>
      <Figure
        label="Surprise"
        title="The greatest |advantage| × −log-prob of a token, which is underlined below"
      >
        {figureText(row.surprise)}
      </Figure>
    </dl>
  );
}

function Components({
  components,
}: {
  components: Readonly<Record<string, number | null>>;
}): JSX.Element {
  const entries = Object.entries(components);
  return (
    <section>
      <h2>Reward components</h2>
      {entries.length === 0 && <p class="muted">None is recorded.</p>}
      <table class="plain">
        <tbody>
          {entries.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{visible(name)}</th>
              <td class="tabular">
                {value === null ? <span class="muted">does not apply</span> : figureText(value)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

interface GroupProps {
  readonly rows: readonly RolloutRow[];
  readonly number: number;
  readonly link: (number: number) => string;
}

function Group({ rows, number, link }: GroupProps): JSX.Element {
  const rewards = rows.flatMap(({ reward }) => reward ?? []);
  const [least, most] = [Math.min(0, ...rewards), Math.max(0, ...rewards)];
  const share = (reward: number | null): string =>
    `${(100 * ((reward ?? least) - least)) / (most - least || 1)}%`;
  return (
    <section>
      <h2>Its group: {manyText(rows.length, "play")} of one task</h2>
      <ul class="group">
        {rows.map((row, i) => (
          <li key={row.number}>
            <a href={link(row.number)} aria-current={row.number === number ? "page" : undefined}>
              <span class="tabular muted">{i + 1}</span>
              <span class="meter">
                <span style={{ width: share(row.reward) }} />
              </span>
              <span class="tabular">{figureText(row.reward)}</span>
              <SuccessMark isSuccess={row.isSuccess} />
              <span class="text excerpt">{visible(row.excerpt.replaceAll("\n", "↵"))}</span>
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

interface LegendProps {
  readonly by: ColourBy;
  readonly most: number;
  readonly onChange: (by: ColourBy) => void;
}

function Legend({ by, most, onChange }: LegendProps): JSX.Element {
  const { title, legend } = colouringOf(by, most);
  return (
    <fieldset class="controls token-legend">
      <legend class="unseen">What colours the tokens</legend>
      <div class="choices">
        {COLOURINGS.map((each) => (
          <label key={each} class={each === by ? "choice chosen" : "choice"}>
            <input
              type="radio"
              name="colour"
              checked={each === by}
              onChange={() => onChange(each)}
            />
            {colouringOf(each, most).label}
          </label>
        ))}
      </div>
      <ul class="scale">
        {legend.map(({ colour, text }) => (
          <li key={text}>
            <span class="swatch wide" style={{ backgroundColor: colour }} />
            {text}
          </li>
        ))}
      </ul>
      <span class="muted small hint">{title}.</span>
    </fieldset>
  );
}
