import { resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ChatTemplate } from "../../../../engine/index.ts";
import { environment } from "../../../../examples/sql-agent/environment.ts";
import { tokenizerFiles } from "../../../../examples/sql-agent/make-tokenizer.ts";
import { type Question, unseenQuestions } from "../../../../examples/sql-agent/questions.ts";
import type { WrittenReply } from "../../../../src/agent/environment.ts";
import type { ToolCallStatus } from "../../../../src/agent/message.ts";
import type { PolicyLanguage } from "../../../../src/agent/policy.ts";
import { scoreEpisode } from "../../../../src/train/episode/scores.ts";
import { idsOfReply, playScripted } from "../../../../src/train/episode/scripted-episode.ts";
import { validateEnvironment } from "../../../../src/train/episode/validation.ts";
import { readTokenizer } from "../../../../src/train/policy/read-tokenizer.ts";

const FOLDER = resolve(import.meta.dirname, "../../../../examples/sql-agent/tokenizer");
const { tokenizer, files } = readTokenizer(FOLDER);
const language: PolicyLanguage = {
  tokenizer,
  template: ChatTemplate.from({
    template: files["chat_template.jinja"] as string,
    config: files["tokenizer_config.json"] as string,
  }),
  stopIds: [tokenizer.eosId as number],
  length: 512,
};

const query = (sql: string): WrittenReply => ({ calls: [{ name: "query", input: { sql } }] });

/** What somebody who says this gets. */
async function played(task: Question, ...replies: readonly WrittenReply[]) {
  const { trace } = await playScripted({
    ...{ environment, task, language, seed: 1 },
    answer: (request, at) => idsOfReply(replies[at] ?? "I give up.", request, language),
  });
  const { components, isSuccess } = await scoreEpisode(environment, trace);
  const statuses: ToolCallStatus[] = (trace.details?.toolCalls ?? []).map(({ status }) => status);
  return { ...components, isSuccess, statuses };
}

describe("the environment of examples/sql-agent", () => {
  afterAll(() => environment.close());

  const task = unseenQuestions.find(({ isOrdered }) => isOrdered) as Question;

  it("takes its right answers for right", async () => {
    expect(await validateEnvironment(environment, language)).toBe(8);
  });

  it("compares the rows of the last query, however they were come by", async () => {
    const { sql } = task;
    const other = `select * from (${sql}) as rows order by 2 desc, 1`;
    expect(sql).toContain("order by 2 desc, 1");
    expect(await played(task, query(sql))).toEqual({
      ...{ right: 1, format: 0, isSuccess: true, statuses: ["ok"] },
    });
    expect(await played(task, query(other))).toMatchObject({ right: 1, isSuccess: true });
    expect(await played(task, query(`${sql} offset 1`))).toMatchObject({ right: 0 });
    expect(await played(task, query(sql.replace(" desc", "")))).toMatchObject({ right: 0 });
    expect(await played(task, "Ask somebody else.")).toMatchObject({ right: 0, statuses: [] });
  });

  it("lets the agent look around, and try again after an error", async () => {
    const look: WrittenReply = {
      calls: [
        { name: "list_tables", input: {} },
        { name: "describe", input: { table: "customers" } },
      ],
    };
    const attempt = await played(task, look, query("drop table orders"), query(task.sql));
    expect(attempt).toMatchObject({ right: 1, statuses: ["ok", "ok", "error", "ok"] });
    const lost = await played(task, look, look, look, look, query(task.sql));
    expect(lost).toMatchObject({ right: 0, isSuccess: false });
  });

  it("has a tokenizer that can be made again", () => {
    const parsed = (given: Readonly<Record<string, unknown>>): unknown =>
      Object.entries(given)
        .map(([name, text]) => [name, /json$/.test(name) ? JSON.parse(String(text)) : text])
        .sort();
    expect(parsed(files)).toEqual(parsed(tokenizerFiles()));
  });
});
