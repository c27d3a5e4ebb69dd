/** What a node proves its role with. */
import { open } from "node:fs/promises";
import { ClusterError } from "../error.ts";
import { checkRunId, type Role } from "./identity.ts";
import { Secret } from "./secret.ts";

const TEXT = /^(rollout:)?([0-9a-f]{64})$/;

/** Bytes of a token file at most; it may be any file, and an endless one. */
const LONGEST_FILE = 256;

/**
 * A run's token, or that of its rollout nodes alone, which is derived from it and does not give it away: who has only that
 * can neither pass for a trainer nor mint tickets. As text 64 digits of hex, after `rollout:` in the second case.
 */
export class Token {
  readonly scope: "run" | "rollout";
  readonly #secret: Secret;

  private constructor(scope: "run" | "rollout", secret: Secret) {
    this.scope = scope;
    this.#secret = secret;
  }

  /** A new run's. */
  static create(): Token {
    return new Token("run", Secret.random());
  }

  /** Errors    `token_invalid`. */
  static parse(text: string, where = "a text"): Token {
    const [, prefix, hex] = TEXT.exec(text.trim()) ?? [];
    if (hex) return new Token(prefix ? "rollout" : "run", new Secret(Buffer.from(hex, "hex")));
    throw new ClusterError({
      code: "token_invalid",
      what: "there is no token here.",
      got: where,
      why: "a token is 32 bytes as 64 digits of lower-case hex, after `rollout:` when it is for rollout nodes",
      fix: "make one with `openssl rand -hex 32`",
    });
  }

  /**
   * Reads it from a file, and warns when others than its owner may read it too.
   *
   * Errors    `token_invalid`.
   */
  static async read(path: string, warn: (text: string) => void = emitWarning): Promise<Token> {
    const { text, mode } = await readStart(path);
    if (process.platform !== "win32" && (mode & 0o077) !== 0) {
      warn(`the token file ${path} can be read by others than its owner: chmod 600 it`);
    }
    return Token.parse(text, path);
  }

  /** As {@link parse} reads it: for a file that is its owner's alone, or another thread of this process. */
  reveal(): string {
    return `${this.scope === "rollout" ? "rollout:" : ""}${this.#secret.reveal()}`;
  }

  /** Writes it to a new file, for its owner alone. Errors: `token_invalid` when there is such a file. */
  async write(path: string): Promise<void> {
    try {
      const file = await open(path, "wx", 0o600);
      try {
        await file.writeFile(`${this.reveal()}\n`);
      } finally {
        await file.close();
      }
    } catch (cause) {
      throw unusable(path, "written", cause);
    }
  }

  /** The token to be given to rollout nodes. */
  get forRollouts(): Token {
    return this.scope === "rollout" ? this : new Token("rollout", this.bearer("rollout"));
  }

  /** What is presented for a role. Errors: `token_invalid` when a rollout node's is to be a trainer's. */
  bearer(role: Role): Secret {
    if (this.scope === "rollout" && role === "rollout") return this.#secret;
    return this.#ofRun(`a ${role}`).derive(`forge-gpu token of a ${role}`);
  }

  /** The key of a run's tickets. Errors: `token_invalid` when this is a rollout node's. */
  ticketKey(runId: string): Secret {
    return this.#ofRun("tickets").derive(`forge-gpu tickets of ${checkRunId(runId)}`);
  }

  #ofRun(purpose: string): Secret {
    if (this.scope === "run") return this.#secret;
    throw new ClusterError({
      code: "token_invalid",
      what: `this token is not good for ${purpose}.`,
      got: "a token of rollout nodes",
      fix: "start the node as a rollout node, or give it the token of the run",
    });
  }
}

async function readStart(path: string): Promise<{ text: string; mode: number }> {
  try {
    const file = await open(path, "r");
    try {
      const { mode } = await file.stat();
      const { buffer, bytesRead } = await file.read(Buffer.alloc(LONGEST_FILE));
      return { text: buffer.toString("latin1", 0, bytesRead), mode };
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw unusable(path, "read", cause);
  }
}

function unusable(path: string, done: string, cause: unknown): ClusterError {
  return new ClusterError({
    code: "token_invalid",
    what: `the token file cannot be ${done}.`,
    got: `${path}: ${(cause as NodeJS.ErrnoException).code ?? "unknown error"}`,
    fix: "check the path and who owns the file",
  });
}

function emitWarning(text: string): void {
  process.emitWarning(text, { code: "FORGE_TOKEN_READABLE" });
}
