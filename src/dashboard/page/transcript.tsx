/** The turns of a rollout: what each was given, what the policy said, and what its tools answered. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { RolloutRecord, RolloutToolCall, RolloutTurn } from "../api.ts";
import { type ColourBy, greatestAdvantage } from "./token-colour.ts";
import { Tokens } from "./tokens.tsx";
import { newPrompt } from "./turns.ts";
import { LongText, spelt, visible } from "./visible-text.tsx";
import { countText, figureText, manyText } from "./words.ts";

interface TranscriptProps {
  readonly record: RolloutRecord;
  readonly by: ColourBy;
}

/** See the file's head. */
export function Transcript({ record, by }: TranscriptProps): JSX.Element {
  const { turns = [], toolCalls = [] } = record;
  const most = greatestAdvantage(turns);
  const surprising = mostSurprising(turns);
  const known = new Set(turns.map(({ request }) => request));
  return (
    <ol class="turns">
      {turns.map((turn, k) => (
        <li key={k}>
          <TurnOf
            {...{ turns, k, by, most }}
            surprising={surprising?.turn === k ? surprising.token : undefined}
          />
          <Calls calls={toolCalls.filter(({ requestIndex }) => requestIndex === turn.request)} />
        </li>
      ))}
      <Calls calls={toolCalls.filter(({ requestIndex }) => !known.has(requestIndex))} />
    </ol>
  );
}

interface TurnProps {
  readonly turns: readonly RolloutTurn[];
  readonly k: number;
  readonly by: ColourBy;
  readonly most: number;
  readonly surprising: number | undefined;
}

function TurnOf({ turns, k, by, most, surprising }: TurnProps): JSX.Element {
  const [isWhole, setWhole] = useState(false);
  const turn = turns[k] as RolloutTurn;
  const { text, known, isFork } = newPrompt(turns, k);
  const prompt = isWhole ? (turn.prompt ?? "") : text;
  return (
    <article class="turn">
      <TurnHead turn={turn} number={k + 1} isFork={isFork} />
      {known > 0 && (
        <button
          type="button"
          class="quiet"
          aria-expanded={isWhole}
          onClick={() => setWhole(!isWhole)}
        >
          {isWhole
            ? "Show what is new alone"
            : `Goes on from before: ${countText(known)} characters`}
        </button>
      )}
      {prompt !== "" && (
        <LongText text={prompt} class={by === "mask" ? "prompt masked" : "prompt"} />
      )}
      <Tokens {...{ turn, by, most, surprising }} />
      {!turn.responseTokens && (
        <>
          <LongText text={turn.response ?? ""} />
          <p class="muted small">
            This record does not say which text belongs to which token: the boxes hold ids.
          </p>
        </>
      )}
    </article>
  );
}

function TurnHead({
  turn,
  number,
  isFork,
}: {
  turn: RolloutTurn;
  number: number;
  isFork: boolean;
}): JSX.Element {
  const {
    role,
    policyVersions = [],
    finishReason,
    reward,
    responseIds = [],
    promptIds = [],
  } = turn;
  const versions = [...new Set(policyVersions)].join("–");
  return (
    <header class="bar turn-head">
      <h3>Turn {number}</h3>
      {role !== undefined && role !== "main" && <span class="chip">{visible(role)}</span>}
      {isFork && (
        <span class="chip" title="Its prompt does not begin with an earlier prompt and its answer">
          new history
        </span>
      )}
      <span class="muted small">
        {manyText(promptIds.length, "token")} given, {countText(responseIds.length)} sampled
        {finishReason !== undefined && ` · ended by ${spelt(finishReason)}`}
        {versions !== "" && ` · policy of step ${versions}`}
      </span>
      <span class="grow" />
      {typeof reward === "number" && reward !== 0 && (
        <span class="chip tabular">reward {figureText(reward)}</span>
      )}
    </header>
  );
}

function Calls({ calls }: { calls: readonly RolloutToolCall[] }): JSX.Element | null {
  if (calls.length === 0) return null;
  return (
    <ul class="calls">
      {calls.map((call, c) => (
        <li key={c}>
          <header class="bar">
            <span class="muted small">Tool</span>
            <code class="text">{visible(call.name ?? "?")}</code>
            <span class={call.status === "ok" ? "chip" : "chip chip-bad"}>
              {visible(call.status ?? "?")}
            </span>
            {call.isCut && (
              <span class="chip" title="The rest was cut off at the limit">
                cut
              </span>
            )}
            <span class="muted small tabular">
              {call.ms !== undefined &&
                (call.ms < 1000 ? `${figureText(call.ms)} ms` : `${figureText(call.ms / 1000)} s`)}
              {call.role !== undefined && call.role !== "main" && ` · ${spelt(call.role)}`}
            </span>
          </header>
          <LongText text={inputText(call.input)} class="call-input" />
          <LongText text={call.content ?? ""} class="prompt" />
        </li>
      ))}
    </ul>
  );
}

/** Characters of an input that is not broken into lines. */
const LINE = 100;

function inputText(input: unknown): string {
  if (typeof input === "string") return input;
  const line = JSON.stringify(input) ?? "";
  return line.length <= LINE ? line : JSON.stringify(input, null, 2);
}

/** The token that makes a rollout as surprising as its list says. */
function mostSurprising(
  turns: readonly RolloutTurn[],
): { turn: number; token: number } | undefined {
  let [most, place]: [number, { turn: number; token: number } | undefined] = [0, undefined];
  turns.forEach(({ advantages = [], rolloutLogprobs = [] }, turn) => {
    advantages.forEach((advantage, token) => {
      const surprise = Math.abs(advantage) * -(rolloutLogprobs[token] ?? 0);
      if (surprise > most) [most, place] = [surprise, { turn, token }];
    });
  });
  return place;
}
