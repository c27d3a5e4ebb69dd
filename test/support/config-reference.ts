/** docs/configuration.md, written from the schemas. */
import type { z } from "zod";
import { schema } from "../../src/train/config/schema.ts";
import { describe, isSection, keysOf } from "../../src/train/config/schema-walk.ts";

const HEAD = `# Configuration

What a run is made of, for \`forge-gpu train\` and \`eval\`. A file in YAML or JSON, or a module in TypeScript or JavaScript
whose default export it is; a module may also hold an environment, a loss or an advantage of its own.

\`\`\`yaml
environment: ./environment.ts
model:
  create: { layers: 4, width: 128, heads: 4 }
optimizer: { lr: 3e-4 }
train: { steps: 200 }
\`\`\`

\`\`\`ts
import { defineConfig, defineEnvironment } from "forge-gpu";

export default defineConfig({
  environment: defineEnvironment({
    name: "echo",
    tasks: { train: ["a", "b"] },
    prompt: (task) => task,
    rewards: { right: ({ task, text }) => Number(text === task) },
  }),
  model: { create: { layers: 4, width: 128, heads: 4 } },
  algorithm: { name: "grpo" },
});
\`\`\`

- \`--set a.b=c\` sets a key from the command line, its value in YAML: \`--set rollout.groupSize=16\`,
  \`--set optimizer.betas.1=0.99\`, \`--set 'model.lora={rank: 16}'\`.
- \`--print-config\` prints the whole configuration, what is left out too. What it prints is a configuration.
- A key that does not exist is an error, which names the nearest that does; so is a value of a wrong kind, and keys that
  contradict each other. All of them are reported at once.
- \`null\` is "off", or what the key's description says.
- Paths are from the folder of the configuration, but for \`run.directory\`, which is from the working directory.
`;

/** The whole page. */
export function configReference(): string {
  const sections = keysOf(schema).filter(([, child]) => isSection(child));
  const plain = keysOf(schema).filter(([, child]) => !isSection(child));
  return [
    HEAD,
    table("At the top", "", plain),
    ...sections.map(([name, child]) =>
      table(`\`${name}\``, `${describe(child).description}\n\n`, keysOf(child)),
    ),
  ].join("\n");
}

function table(
  title: string,
  text: string,
  keys: readonly (readonly [string, z.ZodType])[],
): string {
  const head = "| key | takes | default | meaning |\n| --- | --- | --- | --- |\n";
  return `## ${title}\n\n${text}${head}${rows(keys, "").join("\n")}\n`;
}

function rows(keys: readonly (readonly [string, z.ZodType])[], prefix: string): string[] {
  return keys.flatMap(([key, child]) => {
    const { description, expected, preset } = describe(child);
    const cells = [`\`${prefix}${key}\``, expected, preset ?? "", description];
    const row = `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
    return [row, ...rows(keysOf(child), `${prefix}${key}.`)];
  });
}
