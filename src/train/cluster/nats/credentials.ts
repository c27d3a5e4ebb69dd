/** What a node proves itself with to a server of NATS: the content of a file, and never a text of the command line. */
import { open } from "node:fs/promises";
import type { Authenticator } from "@nats-io/transport-node";
import { ForgeError } from "../../../../engine/error.ts";
import type { NatsSdk } from "./sdk.ts";

/** Bytes of the file at most; it may be any file, and an endless one. */
const LONGEST_FILE = 16_384;

/**
 * Reads a file of credentials: those that `nsc` writes (a JWT and a seed), a seed alone, or a token. Warns when others than its
 * owner may read it.
 *
 * Errors    `config_invalid`, which never shows what is in the file.
 */
export async function readCredentials(
  path: string,
  { transport }: NatsSdk,
  warn: (text: string) => void = emitWarning,
): Promise<Authenticator> {
  const { bytes, mode } = await readStart(path);
  if (process.platform !== "win32" && (mode & 0o077) !== 0)
    warn(`the credentials file ${path} can be read by others than its owner: chmod 600 it`);
  const text = bytes.toString("utf8");
  if (text.includes("BEGIN NATS USER JWT")) return transport.credsAuthenticator(bytes);
  const word = text.trim();
  if (/^SU[A-Z2-7]{56}$/.test(word)) return transport.nkeyAuthenticator(Buffer.from(word));
  if (/^\S+$/.test(word)) return transport.tokenAuthenticator(word);
  throw invalid(path, {
    what: "there are no credentials of NATS in this file.",
    fix: "give the .creds file of the user, or a file with its seed or a token and nothing else",
  });
}

async function readStart(path: string): Promise<{ bytes: Buffer; mode: number }> {
  try {
    const file = await open(path, "r");
    try {
      const { mode } = await file.stat();
      const { buffer, bytesRead } = await file.read(Buffer.alloc(LONGEST_FILE));
      return { bytes: buffer.subarray(0, bytesRead), mode };
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw invalid(`${path}: ${(cause as NodeJS.ErrnoException).code ?? "unknown error"}`, {
      what: "the file of credentials for NATS cannot be read.",
      fix: "check the path and who owns the file",
    });
  }
}

function invalid(
  got: string,
  { what, fix }: { readonly what: string; readonly fix: string },
): ForgeError {
  return new ForgeError({ code: "config_invalid", what, got, fix });
}

function emitWarning(text: string): void {
  process.emitWarning(text, { code: "FORGE_TOKEN_READABLE" });
}
