/** Names of models on a hub: `org/name`, or `name` for the oldest ones, with a revision after `@`. */
import { ForgeError } from "../../engine/index.ts";

/** A model at a revision. */
export interface HubName {
  /** `org/name`, or `name`. */
  readonly id: string;
  /** A branch, a tag, or a commit. */
  readonly revision: string;
}

/** What the hub takes for an organisation or a model; `--` is left to the cache, which puts it in the place of `/`. */
const WORD = /^(?!.*(?:--|\.\.|\.git$))[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?$/;
/** What git forbids in the name of a branch or a tag. */
const FORBIDDEN = /[\p{Cc}\s~^:?*[\\]|\.\.|@\{|\/\/|\/\.|^[/.-]|[/.]$|\.lock$/u;
const LONGEST_REVISION = 200;

/** Reads `org/name@revision`; the revision is `main` where there is none. Throws `argument_invalid`. */
export function parseHubName(text: string): HubName {
  const at = text.indexOf("@");
  const id = at < 0 ? text : text.slice(0, at);
  const revision = at < 0 ? "main" : text.slice(at + 1);
  const words = id.split("/");
  if (words.length > 2 || !words.every((word) => WORD.test(word))) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "this is no name of a model on a hub",
      got: JSON.stringify(text),
      why: 'a name is "org/name" of letters, digits, "-", "_" and ".", without "--" or ".."',
      fix: 'give it as its page on the hub does, as in "Qwen/Qwen3-0.6B" or "Qwen/Qwen3-0.6B@main"',
    });
  }
  if (revision === "" || revision.length > LONGEST_REVISION || FORBIDDEN.test(revision)) {
    throw new ForgeError({
      code: "argument_invalid",
      what: `this is no revision of ${id}`,
      got: JSON.stringify(revision),
      fix: "give a branch, a tag or a commit",
    });
  }
  return { id, revision };
}

/** The name as {@link parseHubName} reads it. */
export function hubNameText({ id, revision }: HubName): string {
  return revision === "main" ? id : `${id}@${revision}`;
}
