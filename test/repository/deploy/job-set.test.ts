import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { nodeCommand } from "../../../src/cli/node.ts";
import { type NodeSettings, nodeSettings } from "../../../src/cli/node-settings.ts";
import { type JobSet, jobSet } from "../../support/job-set.ts";

const file = join(import.meta.dirname, "../../../deploy/jobset.yaml");
const manifest = (): JobSet => parse(readFileSync(file, "utf8"));

const [trainer, rollout] = jobSet.parse(manifest()).spec.replicatedJobs as [
  JobSet["spec"]["replicatedJobs"][number],
  JobSet["spec"]["replicatedJobs"][number],
];

/** Every object of a value, with where it is. */
function* objects(value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) yield path;
  for (const [key, child] of Object.entries(value)) yield* objects(child, [...path, key]);
}

function at(value: unknown, path: readonly string[]): Record<string, unknown> {
  return path.reduce<unknown>((part, key) => Object(part)[key], value) as Record<string, unknown>;
}

/** The settings of a pod, whose labels and addresses are as Kubernetes and JobSet set them. */
function settingsOf(
  { template: { spec }, name }: JobSet["spec"]["replicatedJobs"][number],
  { job, pod }: { readonly job: number; readonly pod: number },
): NodeSettings {
  const facts: Record<string, string> = {
    "status.podIP": `10.8.${job}.${pod}`,
    "metadata.labels['jobset.sigs.k8s.io/jobset-uid']": "7c0e",
    "metadata.annotations['jobset.sigs.k8s.io/coordinator']": "forge-trainer-0-0.forge",
    "metadata.labels['jobset.sigs.k8s.io/replicatedjob-name']": name,
    "metadata.labels['jobset.sigs.k8s.io/job-index']": String(job),
    "metadata.labels['jobset.sigs.k8s.io/restart-attempt']": "0",
  };
  const [container] = spec.template.spec.containers;
  const env = Object.fromEntries(
    (container?.env ?? []).map(({ name, valueFrom }) => {
      return [name, facts[valueFrom?.fieldRef.fieldPath ?? ""]];
    }),
  );
  expect(Object.values(env)).not.toContain(undefined);
  const args = (container?.args ?? []).map((arg) => {
    return arg.replace(/\$\((\w+)\)/g, (_, variable) => String(env[variable]));
  });
  const command = nodeCommand(async () => {}).action(() => undefined);
  new Command("forge-gpu").exitOverride().addCommand(command.exitOverride()).parse(args, {
    from: "user",
  });
  return nodeSettings(
    command.opts(),
    { ...env, JOB_COMPLETION_INDEX: String(pod) },
    {
      hostname: `forge-${name}-${job}-${pod}`,
      interfaces: {},
      nonce: "0".repeat(32),
    },
  );
}

describe("deploy/jobset.yaml", () => {
  it("is a JobSet", () => expect(jobSet.safeParse(manifest()).error).toBeUndefined());

  it("is none with a key misspelt anywhere", () => {
    const everywhere = [...objects(manifest())];
    expect(everywhere.length).toBeGreaterThan(60);
    const deaf = everywhere.filter((path) => {
      const slipped = structuredClone(manifest());
      const object = at(slipped, path);
      const [key = ""] = Object.keys(object);
      object[`${key}x`] = object[key];
      delete object[key];
      return jobSet.safeParse(slipped).success;
    });
    // names of resources are anybody's
    expect(deaf.filter((path) => !/^(requests|limits)$/.test(path.at(-1) ?? ""))).toEqual([]);
  });

  it("starts trainers that find each other, the first of which begins", () => {
    const pods = [0, 1, 2, 3].map((pod) => settingsOf(trainer, { job: 0, pod }));
    expect(pods.map(({ founding }) => founding.value)).toEqual([
      ...["if-nobody-answers", "never", "never", "never"],
    ]);
    expect(pods.map(({ listen }) => listen.value)).toEqual(
      [0, 1, 2, 3].map((pod) => ({ host: `10.8.0.${pod}`, port: 29400 })),
    );
    const addresses = [0, 1, 2, 3].map((pod) => `ws://forge-trainer-0-${pod}.forge:29400`);
    expect(pods[1]?.contacts.value).toEqual(addresses);
    expect(new Set(pods.map(({ runId }) => runId.value)).size).toBe(1);
    expect(new Set(pods.map(({ nodeId }) => nodeId.value)).size).toBe(4);
  });

  it("starts rollout nodes of the same run, which ask the trainers", () => {
    const pods = [0, 1, 7].map((job) => settingsOf(rollout, { job, pod: 0 }));
    const first = settingsOf(trainer, { job: 0, pod: 0 });
    for (const { role, founding, contacts, runId, tokenFile } of pods) {
      expect([role.value, founding.value]).toEqual(["rollout", "never"]);
      expect(contacts.value[0]).toBe("ws://forge-trainer-0-0.forge:29400");
      expect(runId).toEqual(first.runId);
      expect(tokenFile.value).toBe("/etc/forge-gpu/token/token");
    }
    expect(new Set(pods.map(({ nodeId }) => nodeId.value)).size).toBe(3);
  });

  it("has as many pods as the world has room for, and gives rollouts another secret", () => {
    const { parallelism, completions } = trainer.template.spec;
    const { max } = settingsOf(trainer, { job: 0, pod: 0 }).world.value;
    expect([parallelism, completions]).toEqual([max, max]);
    const secretOf = ({ template }: typeof trainer): string | undefined =>
      template.spec.template.spec.volumes.find(({ secret }) => secret)?.secret?.secretName;
    expect(secretOf(trainer)).not.toBe(secretOf(rollout));
  });

  it("ends for wrong settings, and for nothing else", () => {
    for (const { template } of [trainer, rollout]) {
      const { rules } = template.spec.podFailurePolicy;
      const actionOf = (code: number): string =>
        rules.find(({ onExitCodes }) => onExitCodes?.values.includes(code))?.action ?? "Count";
      expect([2, 78].map(actionOf)).toEqual(["FailJob", "FailJob"]);
      expect([1, 75, 137].map(actionOf)).toEqual(["Count", "Ignore", "Count"]);
      // Kubernetes allows no failure policy with any other two
      expect(template.spec.template.spec.restartPolicy).toBe("Never");
      expect(template.spec.podReplacementPolicy).toBe("Failed");
    }
  });

  it("runs as nobody, with nothing to write on but what is mounted", () => {
    for (const { template } of [trainer, rollout]) {
      const { securityContext, containers, volumes } = template.spec.template.spec;
      expect(securityContext.runAsNonRoot).toBe(true);
      for (const { securityContext, volumeMounts } of containers) {
        expect(securityContext.readOnlyRootFilesystem).toBe(true);
        const names = volumes.map(({ name }) => name);
        expect(volumeMounts.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
      }
    }
  });
});
