/** Slurm's lists of hosts, as in `n[0-3,7],gpu-a`. */
import { ForgeError } from "../../../engine/error.ts";

/** More hosts than any cluster has; a list of more is a slip, or ill will. */
const MOST_HOSTS = 65_536;

/** Text, then a list of numbers in brackets, as often as one likes. */
const PART = /^(?:[A-Za-z0-9._-]|\[\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*\])+$/;

/**
 * The hosts of a list in its order, as `scontrol show hostnames` gives them: `r[0-1]n[08-10]` is r0n08, r0n09, r0n10,
 * r1n08, … Numbers are padded to the width of their range's first.
 *
 * Errors    `config_invalid`: no such list, a range that falls, or more than 65,536 hosts.
 */
export function expandNodelist(text: string): string[] {
  // commas in brackets separate ranges, and not hosts
  const parts = text.trim().split(/,(?![^[]*\])/);
  const hosts: string[] = [];
  for (const part of parts) {
    if (!PART.test(part)) throw refusal(text, `${JSON.stringify(part.slice(0, 40))} is no host`);
    hosts.push(...expandPart(text, part));
    if (hosts.length > MOST_HOSTS) throw refusal(text, `more than ${MOST_HOSTS} hosts`);
  }
  return hosts;
}

function expandPart(text: string, part: string): string[] {
  let hosts = [""];
  for (const [piece] of part.matchAll(/\[[^\]]*\]|[^[]+/g)) {
    const ends = piece.startsWith("[") ? numbers(text, piece.slice(1, -1)) : [piece];
    if (hosts.length * ends.length > MOST_HOSTS)
      throw refusal(text, `more than ${MOST_HOSTS} hosts`);
    hosts = hosts.flatMap((host) => ends.map((end) => host + end));
  }
  return hosts;
}

function numbers(text: string, ranges: string): string[] {
  return ranges.split(",").flatMap((range) => {
    const [first = "", last = first] = range.split("-");
    const count = Number(last) - Number(first) + 1;
    if (count < 1) throw refusal(text, `the range ${range} falls`);
    if (count > MOST_HOSTS) throw refusal(text, `more than ${MOST_HOSTS} hosts`);
    return Array.from({ length: count }, (_, i) =>
      String(Number(first) + i).padStart(first.length, "0"),
    );
  });
}

function refusal(text: string, why: string): ForgeError {
  return new ForgeError({
    code: "config_invalid",
    what: "this is no list of hosts of Slurm's.",
    got: JSON.stringify(text.slice(0, 120)),
    why,
    fix: "start the node with srun, which sets it, or give --rdzv, which is used instead",
  });
}
