/** An answer, token by token. */
import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import type { RolloutTurn } from "../api.ts";
import { type ColourBy, tokenColour } from "./token-colour.ts";
import { visible } from "./visible-text.tsx";
import { figureText } from "./words.ts";

/** Tokens that are drawn at once. */
const PIECE = 2000;

interface TokensProps {
  readonly turn: RolloutTurn;
  readonly by: ColourBy;
  /** The greatest |advantage| of the rollout. */
  readonly most: number;
  /** Number of the most surprising token, if it is here. */
  readonly surprising: number | undefined;
}

/** See the file's head. A card follows the pointer or, by arrow keys, the focus. */
export function Tokens({ turn, by, most, surprising }: TokensProps): JSX.Element {
  const [shown, setShown] = useState(PIECE);
  const [chosen, setChosen] = useState<number>();
  const box = useRef<HTMLDivElement>(null);
  const ids = turn.responseIds ?? [];
  const texts = turn.responseTokens;
  const move = (event: KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") setChosen(undefined);
    if (step === undefined) return;
    event.preventDefault();
    const last = Math.min(ids.length, shown) - 1;
    setChosen(chosen === undefined ? 0 : Math.min(last, Math.max(0, chosen + step)));
  };
  return (
    <div class="tokens-box" ref={box}>
      {/* biome-ignore lint/a11y/useSemanticElements: no element is a row of tokens that arrow keys go through */}
      <div
        class={texts ? "text tokens" : "text tokens numbers"}
        role="group"
        aria-label="Sampled tokens; arrow keys go from one to the next"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys go through it
        tabIndex={0}
        onKeyDown={move}
        onBlur={() => setChosen(undefined)}
        onPointerOver={(event) => setChosen(tokenAt(event))}
        onPointerLeave={() => setChosen(undefined)}
      >
        {ids.slice(0, shown).map((id, t) => (
          <span
            key={t}
            data-token={t}
            class={classOf(t, chosen, surprising)}
            style={{ backgroundColor: tokenColour(turn, t, by, most) }}
          >
            {texts ? tokenText(texts[t] ?? "") : id}
          </span>
        ))}
      </div>
      {shown < ids.length && (
        <button type="button" class="quiet" onClick={() => setShown(shown + PIECE)}>
          {`Show ${Math.min(PIECE, ids.length - shown)} more of ${ids.length - shown} tokens`}
        </button>
      )}
      {chosen !== undefined && <Card turn={turn} token={chosen} box={box.current} />}
    </div>
  );
}

function classOf(token: number, chosen?: number, surprising?: number): string {
  const words = ["token"];
  if (token === chosen) words.push("chosen");
  if (token === surprising) words.push("surprising");
  return words.join(" ");
}

/** A token within a character completes nothing, and still wants a place to point at. */
function tokenText(text: string): JSX.Element | ReturnType<typeof visible> {
  if (text === "") return <span class="hidden-character">·</span>;
  return visible(text.replaceAll("\n", "↵\n"));
}

function tokenAt(event: PointerEvent): number | undefined {
  const token = (event.target as Element).closest("[data-token]")?.getAttribute("data-token");
  return token === null || token === undefined ? undefined : Number(token);
}

interface CardProps {
  readonly turn: RolloutTurn;
  readonly token: number;
  readonly box: HTMLElement | null;
}

const CARD_WIDTH = 250;

function Card({ turn, token, box }: CardProps): JSX.Element {
  const { responseIds, responseTokens, rolloutLogprobs, trainerLogprobs, entropies, advantages } =
    turn;
  const element = box?.querySelector(`[data-token="${token}"]`);
  const rectangles = element?.getClientRects();
  const at = rectangles?.[rectangles.length - 1];
  const from = box?.getBoundingClientRect();
  const left = at && from ? Math.max(0, Math.min(at.left - from.left, from.width - CARD_WIDTH)) : 0;
  const top = at && from ? at.bottom - from.top + 6 : 0;
  const logprob = rolloutLogprobs?.[token];
  const rows: readonly (readonly [string, string | undefined])[] = [
    ["Token", `${token + 1} of ${responseIds?.length ?? 0}, id ${responseIds?.[token]}`],
    ["Probability", logprob === undefined ? undefined : probabilityText(logprob)],
    ["Log-prob, sampling", numberOf(logprob)],
    ["Log-prob, training", numberOf(trainerLogprobs?.[token])],
    ["Entropy", numberOf(entropies?.[token])],
    ["Advantage", numberOf(advantages?.[token])],
    ["Trained on", advantages ? "yes" : "no"],
  ];
  return (
    <div class="card" style={{ left: `${left}px`, top: `${top}px` }} role="status">
      {responseTokens && (
        <div class="text card-text">{visible(JSON.stringify(responseTokens[token] ?? ""))}</div>
      )}
      <dl>
        {rows.map(
          ([label, value]) =>
            value !== undefined && (
              <div key={label}>
                <dt>{label}</dt>
                <dd class="tabular">{value}</dd>
              </div>
            ),
        )}
      </dl>
    </div>
  );
}

function numberOf(value: number | undefined): string | undefined {
  return value === undefined ? undefined : value.toFixed(4).replace("-", "−");
}

function probabilityText(logprob: number): string {
  const probability = Math.exp(logprob);
  return probability < 0.001
    ? figureText(probability, "scientific")
    : `${(100 * probability).toFixed(1)} %`;
}
