/** What others say, made so that it cannot speak for the policy. */
import { ForgeError } from "../../../engine/error.ts";
import type { Message } from "../message.ts";
import type { PolicyTokenizer } from "../policy.ts";

/**
 * Messages of users and tools as a prompt may hold them: a special token that is written out in them is taken apart by a
 * space (or out, where that cannot be written), or a tool's answer could end its turn and begin the policy's. Of a tool's
 * answer, characters that the tokenizer has no token for are left out.
 */
export class Quotation {
  readonly #tokenizer: PolicyTokenizer;
  readonly #special: RegExp | undefined;
  readonly #known = new Map<string, boolean>();

  constructor(tokenizer: PolicyTokenizer) {
    this.#tokenizer = tokenizer;
    const texts = tokenizer.specialIds
      .map((id) => tokenizer.tokenOf(id) ?? "")
      .filter((text) => text.length > 1)
      .map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
    this.#special = texts.length > 0 ? new RegExp(texts.join("|"), "g") : undefined;
  }

  quoted(message: Message): Message {
    if (message.role !== "tool" && message.role !== "user") return message;
    const taken = this.#takenApart(message.content);
    const content = message.role === "tool" ? this.#encodable(taken) : taken;
    return content === message.content ? message : { ...message, content };
  }

  #takenApart(text: string): string {
    if (!this.#special) return text;
    const after = text.replace(this.#special, (token) => {
      const apart = `${token[0]} ${token.slice(1)}`;
      return this.#isKnown(apart) ? apart : "";
    });
    // what was taken out may have brought another together
    return after.length < text.length ? this.#takenApart(after) : after;
  }

  #encodable(text: string): string {
    if (this.#isKnown(text)) return text;
    return [...text].filter((character) => this.#isKnownCharacter(character)).join("");
  }

  #isKnownCharacter(character: string): boolean {
    const known = this.#known.get(character) ?? this.#isKnown(character);
    this.#known.set(character, known);
    return known;
  }

  #isKnown(text: string): boolean {
    try {
      this.#tokenizer.encode(text, { addSpecialTokens: false });
      return true;
    } catch (error) {
      if (error instanceof ForgeError && error.code === "argument_invalid") return false;
      throw error;
    }
  }
}
