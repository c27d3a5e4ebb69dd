import { beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import {
  AdamW,
  type CausalLM,
  ChatTemplate,
  createModel,
  type Device,
  parametersOf,
} from "../../../engine/index.ts";
import { defineEnvironment } from "../../../src/agent/define-environment.ts";
import type { Message, ToolCallRecord } from "../../../src/agent/message.ts";
import { tool } from "../../../src/agent/tool/tool.ts";
import type { SessionRecord } from "../../../src/pool/record.ts";
import { forge } from "../../../src/rl/algorithm/forge.ts";
import type { Generation } from "../../../src/rollout/request.ts";
import { Rollout } from "../../../src/train/episode/rollout.ts";
import { playScripted } from "../../../src/train/episode/scripted-episode.ts";
import { Learner } from "../../../src/train/learner/learner.ts";
import { type TrainedSample, withWeights } from "../../../src/train/learner/trained-samples.ts";
import { languageOf } from "../../../src/train/policy/language.ts";
import { newTokenizer } from "../../../src/train/policy/new-tokenizer.ts";
import { PURPOSE, smallSeedOf } from "../../../src/train/seeds.ts";
import { demonstrationsOf } from "../../../src/train/supervised/demonstrations.ts";
import { SftTrainer } from "../../../src/train/supervised/sft.ts";
import { warmStart } from "../../../src/train/supervised/warm-start.ts";
import { type StepReport, Trainer } from "../../../src/train/trainer.ts";
import { device } from "../../support/gpu.ts";

/** So few tokens that a model from random weights calls tools, rightly and wrongly, all the time. */
const { tokenizer, files } = newTokenizer({ kind: "characters", alphabet: "abt ", chat: true });
const template = ChatTemplate.from({
  template: files["chat_template.jinja"] as string,
  config: files["tokenizer_config.json"] as object,
}) as ChatTemplate;

const [SEED, LENGTH, GROUP, BEFORE_SUMMARY] = [4, 128, 4, 2];
const BROKEN = ["malformed", "unknown_tool", "invalid_input"];
const SUMMARISE: Message = { role: "user", content: "tat" };

/** Doubles what it is told. After two answers the agent sums up what was said, and goes on from that. */
const environment = defineEnvironment({
  name: "double",
  tasks: { train: ["ab", "ba", "aab"] },
  user: (task) => task,
  state: () => ({ runs: 0 }),
  tools: ({ state }) => ({
    t: tool({
      input: z.object({ text: z.string().max(3) }),
      run: ({ text }) => {
        state.runs++;
        return text + text;
      },
    }),
  }),
  context: async ({ messages, chat, tools, turn }) => {
    if (turn !== BEFORE_SUMMARY) return undefined;
    const { message } = await chat.ask({
      messages: [...messages, SUMMARISE],
      tools: tools.definitions,
    });
    return [...messages.slice(0, 1), { role: "user", content: message.content }];
  },
  demonstration: ({ task, turn }) =>
    turn < 3 ? { calls: [{ name: "t", input: { text: task } }] } : "aa",
  maxTurns: 4,
  maxTokens: 8,
  isPure: true,
  rewards: {
    letters: ({ messages }) =>
      messages.filter(({ role, content }) => role === "assistant" && content.includes("a")).length,
    runs: { weight: 0, score: ({ state }) => state.runs },
  },
});

/** What the sampler was fed and drew, and what was trained. */
interface Run {
  readonly drawn: readonly Generation[];
  readonly reports: readonly StepReport[];
}

async function run(steps: number): Promise<Run> {
  const sizes = { layers: 2, width: 32, heads: 4, mlpWidth: 48, seed: 3 };
  using model = createModel({ ...sizes, vocab: tokenizer.vocabSize, maxDepth: LENGTH });
  const rollout = new Rollout({
    ...{ device: gpu, model, tokenizer, template, batch: 8, length: LENGTH, isDeterministic: true },
  });
  const drawn: Generation[] = [];
  const { sampler } = rollout;
  const generate = sampler.generate.bind(sampler);
  sampler.generate = async (...given) => {
    const generation = await generate(...given);
    drawn.push(structuredClone(generation));
    return generation;
  };
  await warmUp(model);
  const optimizer = { lr: 1e-2, betas: [0.9, 0.95], eps: 1e-15 } as const;
  using learner = new Learner({
    ...{ device: gpu, model, algorithm: forge(), optimizer, tokenBudget: 4096 },
  });
  const trainer = new Trainer({
    ...{ environment, rollout, learner, groupSize: GROUP, seed: SEED },
    sampling: { length: LENGTH, temperature: 1 },
    reward: { process: 0.1, speed: 0, truncated: "score" },
    scheduler: { slots: 3, groupsPerStep: 3 },
    poolCapacityTokens: 1e6,
  });
  const reports: StepReport[] = [];
  for (let i = 0; i < steps; i++) reports.push(await trainer.step());
  await trainer.close();
  await rollout.close();
  return { drawn, reports };
}

/** Until it often does what was demonstrated, and often not. */
async function warmUp(model: CausalLM): Promise<void> {
  using optimizer = new AdamW(gpu, parametersOf(model.transformer), { lr: 1e-2 });
  using trainer = new SftTrainer({ model, optimizer });
  const demonstrations = demonstrationsOf(environment, languageOf({ tokenizer, template }, LENGTH));
  const steps = warmStart({ trainer, environment, demonstrations, steps: 30, batchSize: 3 });
  for await (const _ of steps);
}

let gpu: Device;
let played: Run;
beforeAll(async () => {
  gpu = await device();
  played = await run(4);
});

function toolCallsOf({ details }: SessionRecord): readonly ToolCallRecord[] {
  return (details as { toolCalls?: readonly ToolCallRecord[] } | undefined)?.toolCalls ?? [];
}

const samplesOf = ({ reports }: Run): readonly TrainedSample[] =>
  reports.flatMap(({ learned }) => learned?.samples ?? []);

describe("an agent with tools, trained", () => {
  it("FEATURE 3: what is trained on is what was fed and drawn, to the id", () => {
    const trained = samplesOf(played);
    const key = (prompt: Iterable<number>, response: Iterable<number>): string =>
      `${[...prompt]}|${[...response]}`;
    expect(trained.length).toBeGreaterThan(60);
    const keys = trained.map(({ ids, trained: [range] }) => {
      const [from, to] = range as readonly [number, number];
      expect(to).toBe(ids.length);
      return key(ids.subarray(0, from), ids.subarray(from));
    });
    // each request once, and each of its sampled tokens once
    expect(keys.sort()).toEqual(
      played.drawn.map(({ promptIds, ids }) => key(promptIds, ids)).sort(),
    );
    const [stop] = played.drawn.filter(({ finishReason }) => finishReason === "stop");
    expect(stop?.ids.at(-1)).toBe(tokenizer.eosId);
  });

  it("FEATURE 3: and has the log-probs that it was drawn with", () => {
    for (const { rolloutLogprobs, trainerLogprobs, policyVersions } of samplesOf(played)) {
      expect(policyVersions[0]).toBe(policyVersions[1]);
      expect(rolloutLogprobs.length).toBeGreaterThan(0);
      trainerLogprobs.forEach((logprob, t) => {
        expect(Math.abs(logprob - Number(rolloutLogprobs[t]))).toBeLessThanOrEqual(1e-4);
      });
    }
  });

  it("calls its tools, rightly and wrongly, and pays for what is no call", () => {
    const episodes = played.reports.flatMap((report) => report.episodes);
    const statuses = episodes.flatMap(({ session }) =>
      toolCallsOf(session).map(({ status }) => status),
    );
    expect(statuses).toContain("ok");
    expect(statuses.filter((status) => BROKEN.includes(status)).length).toBeGreaterThan(2);
    expect(statuses).not.toContain("error");
    const broken = episodes.filter(({ components }) => Number(components["format"]) < 0);
    expect(broken.length).toBeGreaterThan(0);
    for (const { steps, session } of broken) {
      const bad = toolCallsOf(session).filter(({ status }) => status !== "ok");
      const requests = new Set(bad.map(({ requestIndex }) => requestIndex));
      steps.slice(0, -1).forEach(({ reward }, k) => {
        expect(reward).toBeCloseTo(requests.has(k) ? -0.1 : 0, 6);
      });
    }
  });

  it("FEATURE 6: a context that was managed is rebuilt from what was drawn, to the id", async () => {
    const language = languageOf({ tokenizer, template }, LENGTH);
    let managed = 0;
    for (const { session, completions } of played.reports.flatMap(({ episodes }) => episodes)) {
      const sample = Number(session.sessionId.split(/\D/).at(-1));
      const seed = smallSeedOf(SEED, PURPOSE.train, session.groupId, sample);
      const task = ["ab", "ba", "aab"][Number(session.taskId)] as string;
      const { requests } = await playScripted({
        ...{ environment, task, seed, language },
        answer: (_, i) => [...(completions[i]?.responseIds ?? [])],
      });
      expect(requests.map(({ promptIds }) => [...promptIds])).toEqual(
        completions.map(({ promptIds }) => [...promptIds]),
      );
      expect(requests.map(({ parent }) => parent)).toEqual(completions.map(({ parent }) => parent));
      if (completions.length > BEFORE_SUMMARY) managed++;
    }
    expect(managed).toBeGreaterThan(5);
  });

  it("FEATURE 7: summaries that were sampled have gradient, and the return of their episode", () => {
    const report = played.reports.find(({ learned, episodes }) =>
      learned?.samples.some(
        ({ request, episode, advantages }) =>
          request === BEFORE_SUMMARY &&
          (episodes[episode]?.completions.length ?? 0) > BEFORE_SUMMARY + 1 &&
          Number(advantages[0]) !== 0,
      ),
    );
    expect(report).toBeDefined();
    const { learned, episodes } = report as StepReport;
    const said = tokenizer.encode(SUMMARISE.content as string);
    let summaries = 0;
    // as the loss weighs them
    const weighed = withWeights(learned?.samples ?? [], forge());
    for (const { episode, request, advantages, weight, ids, trained } of weighed) {
      const { completions = [], steps = [] } = episodes[episode] ?? {};
      if (request !== BEFORE_SUMMARY || completions.length <= request) continue;
      summaries++;
      expect(weight).toBeGreaterThan(0);
      // asked for a summary, and nothing of that request but the answer is trained
      const [from] = trained[0] as readonly [number, number];
      expect(tokenizer.decode(ids.subarray(from - said.length - 1, from))).toBe("tat<assistant>");
      expect(trained).toHaveLength(1);
      // what the episode still earned from there on, against the group
      const group = episodes.filter((other) => other.group === episodes[episode]?.group);
      const baseline =
        group.reduce((sum, { reward }) => sum + (reward as number), 0) / group.length;
      const toGo = steps.slice(request).reduce((sum, { reward }) => sum + reward, 0);
      expect(Number(advantages[0])).toBeCloseTo(toGo - baseline, 5);
      expect(new Set(Array.from(advantages)).size).toBe(1);
    }
    expect(summaries).toBeGreaterThan(2);
  });

  it("is the same run again, bit for bit", async () => {
    const again = await run(2);
    const bits = ({ reports }: Run): unknown =>
      reports
        .slice(0, 2)
        .map(({ learned, episodes }) => [
          learned?.updates,
          episodes.map(({ completions, reward }) => [
            reward,
            completions.map(({ responseIds }) => [...responseIds]),
          ]),
        ]);
    expect(bits(again)).toEqual(bits(played));
  });
});
