/**
 * Who may import whom: one rule per wall. `test/repository/import-rules.test.ts` seeds a violation of each.
 *
 *   shaders ← engine/gpu ← engine/tensor ← engine/graph ← engine/ops ← engine/nn, optim, models ← engine/index
 *   cluster        nothing of engine or src
 *   src            engine and cluster through their index.ts only
 *   src/cli        imported by nobody
 *   src/dashboard  its page runs in a browser and knows api.ts; its server reads what src/train/run writes
 *   src/setup      runs before anything is installed: Node built-ins only
 *   examples       the public names only, and each other
 */

/** The engine's layers from the ground up; the last three are neighbours, in the order in which they may be imported. */
const LAYERS = ["gpu", "tensor", "graph", "ops", "nn", "optim", "models"];

/** @param {string} layer */
function engineWall(layer) {
  const above = LAYERS.slice(LAYERS.indexOf(layer) + 1).map((name) => `${name}/`);
  return {
    name: `engine-${layer}-imports-only-what-is-below`,
    severity: "error",
    from: { path: `^engine/${layer}/` },
    to: { path: `^engine/(${[...above, "index\\.ts$"].join("|")})` },
  };
}

export default {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "no-unresolvable",
      severity: "error",
      from: { pathNot: "^test/support/" },
      to: { couldNotResolve: true },
    },
    {
      name: "no-development-packages-in-the-product",
      comment: "pages.mjs runs in the source tree only: what it bundles is the product.",
      severity: "error",
      from: {
        path: "^(engine|cluster|src)/",
        pathNot: "^src/(setup/pages\\.mjs$|dashboard/page/)",
      },
      to: {
        dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"],
        dependencyTypesNot: ["type-only", "npm-peer"],
      },
    },
    {
      name: "product-knows-no-tests-or-examples",
      severity: "error",
      from: { path: "^(engine|cluster|src)/" },
      to: { path: "^(test|examples)/" },
    },
    {
      name: "engine-error-imports-nothing",
      severity: "error",
      from: { path: "^engine/error\\.ts$" },
      to: { path: "." },
    },
    ...LAYERS.map(engineWall),
    {
      name: "engine-stands-alone",
      severity: "error",
      from: { path: "^engine/" },
      to: { path: "^(cluster|src)/" },
    },
    {
      name: "engine-knows-no-node",
      comment: "It runs in browsers. engine/gpu/dawn.ts opens Dawn in Node, and loads lazily.",
      severity: "error",
      from: { path: "^engine/", pathNot: "^engine/gpu/dawn\\.ts$" },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "cluster-stands-alone",
      severity: "error",
      from: { path: "^cluster/" },
      to: { path: "^(engine|src)/" },
    },
    {
      name: "src-uses-the-engine-s-front-door",
      comment: "Or its error alone, which imports nothing, where no GPU may be needed.",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^engine/", pathNot: "^engine/(index|error)\\.ts$" },
    },
    {
      name: "src-uses-the-cluster-s-front-door",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^cluster/", pathNot: "^cluster/index\\.ts$" },
    },
    {
      name: "agents-need-no-gpu",
      severity: "error",
      from: { path: "^src/agent/" },
      to: { path: "^(engine|src/rollout|src/train)/", pathNot: "^engine/error\\.ts$" },
    },
    {
      name: "rl-needs-no-gpu-outside-its-losses",
      severity: "error",
      from: { path: "^src/rl/", pathNot: "^src/rl/loss/" },
      to: { path: "^(engine|src/rollout|src/train)/", pathNot: "^engine/error\\.ts$" },
    },
    {
      name: "nobody-imports-the-command-line",
      severity: "error",
      from: { path: "^(engine|cluster|src|examples)/", pathNot: "^src/cli/" },
      to: { path: "^src/cli/" },
    },
    {
      name: "the-dashboard-s-page-brings-what-it-needs",
      severity: "error",
      from: { path: "^src/dashboard/page/" },
      to: {
        pathNot:
          "^src/dashboard/(page/|api\\.ts$)|^src/terminal/units\\.ts$|(^|/)node_modules/(preact|uplot)/",
      },
    },
    {
      name: "nobody-imports-the-dashboard-s-page",
      severity: "error",
      from: { path: "^(engine|cluster|src|examples)/", pathNot: "^src/dashboard/page/" },
      to: { path: "^src/dashboard/page/" },
    },
    {
      name: "the-dashboard-reads-runs-and-nothing-else",
      severity: "error",
      from: { path: "^src/dashboard/(server/|api\\.ts$)" },
      to: {
        path: "^(engine|cluster|src)/",
        pathNot:
          "^src/(dashboard/(server/|api\\.ts$)|train/run/|disk/|page-server/)|^engine/error\\.ts$",
      },
    },
    {
      name: "set-up-uses-node-only",
      comment:
        "probe.mjs and pages.mjs are programs of their own, run once the packages are there.",
      severity: "error",
      from: { path: "^src/setup/", pathNot: "^src/setup/(probe|pages)\\.mjs$" },
      to: { pathNot: "^src/setup/", dependencyTypesNot: ["core"] },
    },
    {
      name: "examples-use-the-public-names",
      severity: "error",
      from: { path: "^examples/" },
      to: {
        path: "^(engine|cluster|src|test)/",
        dependencyTypesNot: ["aliased-tsconfig-paths"],
      },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^(dist|runs|coverage)/" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    skipAnalysisNotInRules: true,
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default", "types"],
    },
  },
};
