import { describe, expect, it } from "vitest";
import { ClusterError, type ClusterErrorCode } from "../../../cluster/index.ts";
import { type ErrorCode, ForgeError } from "../../../engine/error.ts";
import { exitCodeOf } from "../../../src/cli/exit-code.ts";

const forge = (code: ErrorCode): Error => new ForgeError({ code, what: "it failed." });
const cluster = (code: ClusterErrorCode): Error => new ClusterError({ code, what: "it failed." });

describe("what a node tells its launcher", () => {
  it("0: the work is done", () => expect(exitCodeOf(undefined)).toBe(0));

  it.each([
    cluster("peer_unreachable"),
    cluster("peer_busy"),
    cluster("connection_closed"),
    cluster("listen_failed"),
    forge("device_lost"),
    forge("hub_unreachable"),
    new DOMException("told to end", "AbortError"),
    AbortSignal.abort().reason,
  ])("75: $name $code", (error) => expect(exitCodeOf(error)).toBe(75));

  it.each([
    forge("config_invalid"),
    forge("model_not_found"),
    cluster("token_invalid"),
    cluster("tls_invalid"),
    cluster("peer_unauthorized"),
    cluster("peer_forbidden"),
    cluster("argument_invalid"),
  ])("78: $name $code", (error) => expect(exitCodeOf(error)).toBe(78));

  // a whole job is not to end because one machine has no GPU or no room, nor to try for ever what is broken
  it.each([
    forge("adapter_missing"),
    forge("disk_full"),
    forge("internal"),
    forge("non_finite"),
    cluster("protocol_violated"),
    new Error("boom"),
    new TypeError("boom"),
    "boom",
    null,
  ])("1: %s", (error) => expect(exitCodeOf(error)).toBe(1));
});
