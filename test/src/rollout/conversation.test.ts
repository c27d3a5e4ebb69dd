import { beforeAll, describe, expect, it } from "vitest";
import {
  byteTokenizer,
  type CausalLM,
  ChatTemplate,
  createModel,
  type Device,
  Tokenizer,
} from "../../../engine/index.ts";
import { Conversation } from "../../../src/rollout/conversation.ts";
import { Sampler } from "../../../src/rollout/sampler.ts";
import { rejectionOf } from "../../support/errors.ts";
import { device } from "../../support/gpu.ts";

const [START, END] = ["<|im_start|>", "<|im_end|>"];
const tokenizer = Tokenizer.from({ tokenizer: byteTokenizer({ specialTokens: [START, END] }) });
const END_ID = tokenizer.idOf(END) as number;

/** ChatML; what `answer` makes of an answer that is not the last message. */
function chatMl(answer = "m.content"): ChatTemplate {
  const template = [
    "{% for m in messages %}",
    "{% if m.role == 'refused' %}{{ raise_exception('no such role') }}{% endif %}",
    `{% set said = ${answer} if m.role == 'assistant' and not loop.last else m.content %}`,
    `{{ '${START}' + m.role + '\\n' + said + '${END}\\n' }}`,
    "{% endfor %}",
    `{% if add_generation_prompt %}{{ '${START}assistant\\n' }}{% endif %}`,
  ].join("");
  return ChatTemplate.from({ template }) as ChatTemplate;
}

const encode = (text: string): number[] => tokenizer.encode(text, { addSpecialTokens: false });
const user = (content: string): { role: string; content: string } => ({ role: "user", content });

let on: Device;
let model: CausalLM;
beforeAll(async () => {
  on = await device();
  const sizes = { layers: 1, width: 16, heads: 2, mlpWidth: 32, maxDepth: 512 };
  model = createModel({ vocab: 258, ...sizes, initStd: 0.4, seed: 6 });
  return () => model[Symbol.dispose]();
});

/** A conversation over a sampler of its own. */
async function talk(
  template: ChatTemplate,
  about: (conversation: Conversation, sampler: Sampler) => Promise<void>,
  of: CausalLM = model,
): Promise<void> {
  const sampler = new Sampler({ device: on, model: of, tokenizer, batch: 1, length: 256 });
  const messages = [{ role: "system", content: "Be brief." }];
  using conversation = new Conversation({ sampler, tokenizer, template, messages });
  await about(conversation, sampler);
  await sampler.close();
}

describe("Conversation", () => {
  it("appends the ids of each turn, and keeps those that were sampled", async () => {
    await talk(chatMl(), async (conversation, sampler) => {
      const expected: number[] = [];
      const first = `${START}system\nBe brief.${END}\n${START}user\nOne?${END}\n${START}assistant\n`;
      const next = `${END}\n${START}user\nTwo?${END}\n${START}assistant\n`;
      for (const [content, text] of [["One?", first] as const, ["Two?", next] as const]) {
        const turn = await conversation.say(user(content), { maxTokens: 9, sampling: { seed: 3 } });
        expect(turn.isRewritten).toBe(false);
        expect(turn.addedTokens).toBe(encode(text).length);
        expected.push(...encode(text), ...turn.generation.ids);
        expect(conversation.ids).toEqual(expected);
      }
      // the last token of the first answer was never read; all else before the second turn is in the cache
      const read = encode(first).length + encode(next).length + 1;
      expect(sampler.stats.prefilledTokens).toBe(read);
      expect(conversation.messages.map((m) => m.role)).toEqual([
        ...["system", "user", "assistant", "user", "assistant"],
      ]);
    });
  });

  it("goes on after an answer that was stopped, before its first token too", async () => {
    await talk(chatMl(), async (conversation) => {
      const stop = new AbortController();
      const onToken = (): void => stop.abort();
      const { generation } = await conversation.say(user("One?"), { signal: stop.signal, onToken });
      expect(generation.finishReason).toBe("cancelled");
      const never = await conversation.say(user("Two?"), { signal: AbortSignal.abort() });
      expect(never.generation.ids).toEqual([]);
      const last = await conversation.say(user("Three?"), { maxTokens: 3 });
      expect([never.isRewritten, last.isRewritten]).toEqual([false, false]);
      const rendered = chatMl().render({ messages: conversation.messages });
      expect(`${tokenizer.decode(conversation.ids)}${END}\n`).toBe(rendered);
    });
  });

  it("follows the template where it writes former answers otherwise", async () => {
    const template = chatMl("'(left out)'");
    await talk(template, async (conversation, sampler) => {
      await conversation.say(user("One?"), { maxTokens: 5 });
      const reused = sampler.stats.reusedTokens;
      const before = conversation.messages;
      const turn = await conversation.say(user("Two?"), { maxTokens: 5 });
      expect(turn.isRewritten).toBe(true);
      const messages = [...before, user("Two?")];
      const rendered = template.render({ messages, addGenerationPrompt: true });
      expect(turn.generation.promptIds).toEqual(encode(rendered));
      expect(rendered).toContain("(left out)");
      // what did not change is in the cache still
      const common = rendered.slice(0, rendered.indexOf("(left out)"));
      expect(sampler.stats.reusedTokens - reused).toBeGreaterThanOrEqual(encode(common).length);
    });
  });

  it("ends answers with the token that the template ends them with", async () => {
    // a norm of weight 0 leaves its bias: every place has the same logits, of which the end's is the largest
    const sizes = { layers: 1, width: 16, heads: 2, maxDepth: 512, isTied: false };
    using ending = createModel({ family: "gpt2", vocab: 258, ...sizes });
    const { norm, head } = ending.transformer;
    norm.weight.write(on, new Float32Array(16));
    (norm as typeof norm & { bias: typeof norm.weight }).bias.write(
      on,
      new Float32Array(16).fill(1),
    );
    head.write(
      on,
      Float32Array.from({ length: 258 * 16 }, (_, i) => (i >= END_ID * 16 ? 1 : 0)),
    );
    await talk(
      chatMl(),
      async (conversation) => {
        for (const content of ["One?", "Two?"]) {
          const greedy = { sampling: { temperature: 0 } };
          const { generation, isRewritten } = await conversation.say(user(content), greedy);
          expect([generation.ids, generation.text]).toEqual([[END_ID], ""]);
          expect([generation.finishReason, isRewritten]).toEqual(["stop", false]);
        }
      },
      ending,
    );
  });

  it("is after an error as it was", async () => {
    await talk(chatMl(), async (conversation) => {
      await conversation.say(user("One?"), { maxTokens: 4 });
      const [ids, messages] = [conversation.ids, conversation.messages];
      const refused = conversation.say({ role: "refused", content: "" });
      expect(await rejectionOf(refused)).toBe("template_invalid");
      expect(await rejectionOf(conversation.say(user("long ".repeat(60))))).toBe(
        "context_exceeded",
      );
      expect([conversation.ids, conversation.messages]).toEqual([ids, messages]);
      const { generation } = await conversation.say(user("Two?"), { maxTokens: 1000 });
      const room = 256 + 1 - generation.promptIds.length;
      expect(generation.ids.length).toBeLessThanOrEqual(room);
      expect(conversation.ids.slice(0, ids.length)).toEqual(ids);
    });
  });
});
