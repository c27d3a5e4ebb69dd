/**
 * The fields of a JobSet that `deploy/jobset.yaml` uses, in our own words, after the API reference of JobSet v1alpha2
 * (kubernetes-sigs/jobset at 08dfbdf, of August 2026) and of batch/v1 and core/v1 in Kubernetes 1.33. A key that is not here
 * is refused, whether or not Kubernetes knows it: who uses one more looks it up, and writes it here.
 */
import { z } from "zod";

/** Names of objects: labels of DNS. */
const name = z.stringFormat("name", /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
const count = z
  .int()
  .min(0)
  .max(2 ** 31 - 1);
const quantity = z.stringFormat("quantity", /^\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$/);
const path = z.string().startsWith("/");
const mode = z.int().min(0).max(0o777);

const environment = z.strictObject({
  name: z.stringFormat("variable", /^[A-Za-z_][A-Za-z0-9_]*$/),
  value: z.string().optional(),
  valueFrom: z
    .strictObject({
      fieldRef: z.strictObject({
        fieldPath: z.stringFormat(
          "field",
          /^(metadata\.(name|namespace|uid)|metadata\.(labels|annotations)\['[^']+'\]|spec\.nodeName|status\.(podIP|hostIP))$/,
        ),
      }),
    })
    .optional(),
});

const container = z.strictObject({
  name,
  image: z.string().min(1),
  args: z.array(z.string()),
  env: z.array(environment),
  ports: z.array(z.strictObject({ name, containerPort: z.int().min(1).max(65_535) })).optional(),
  resources: z.strictObject({
    requests: z.record(z.string(), quantity).optional(),
    limits: z.record(z.string(), quantity).optional(),
  }),
  securityContext: z.strictObject({
    allowPrivilegeEscalation: z.boolean(),
    readOnlyRootFilesystem: z.boolean(),
    capabilities: z.strictObject({ drop: z.array(z.string()) }),
  }),
  volumeMounts: z.array(
    z.strictObject({ name, mountPath: path, readOnly: z.boolean().optional() }),
  ),
});

const volume = z.strictObject({
  name,
  configMap: z.strictObject({ name }).optional(),
  secret: z.strictObject({ secretName: name, defaultMode: mode }).optional(),
  emptyDir: z.strictObject({ sizeLimit: quantity.optional() }).optional(),
});

const pod = z.strictObject({
  restartPolicy: z.enum(["Never", "OnFailure"]),
  terminationGracePeriodSeconds: count,
  automountServiceAccountToken: z.boolean(),
  securityContext: z.strictObject({
    runAsNonRoot: z.boolean(),
    runAsUser: count,
    runAsGroup: count,
    fsGroup: count,
    seccompProfile: z.strictObject({ type: z.enum(["RuntimeDefault", "Unconfined"]) }),
  }),
  containers: z.array(container).min(1),
  volumes: z.array(volume),
});

const failureRule = z.strictObject({
  action: z.enum(["FailJob", "FailIndex", "Ignore", "Count"]),
  onExitCodes: z
    .strictObject({
      containerName: name,
      operator: z.enum(["In", "NotIn"]),
      values: z.array(z.int().min(0).max(255)).min(1).max(255),
    })
    .optional(),
  onPodConditions: z
    .array(z.strictObject({ type: z.string(), status: z.enum(["True", "False", "Unknown"]) }))
    .max(20)
    .optional(),
});

const job = z.strictObject({
  completionMode: z.enum(["Indexed", "NonIndexed"]),
  parallelism: count,
  completions: count,
  backoffLimit: count,
  podReplacementPolicy: z.enum(["Failed", "TerminatingOrFailed"]),
  podFailurePolicy: z.strictObject({ rules: z.array(failureRule).max(20) }),
  template: z.strictObject({ spec: pod }),
});

/** See the file's head. */
export const jobSet = z.strictObject({
  apiVersion: z.literal("jobset.x-k8s.io/v1alpha2"),
  kind: z.literal("JobSet"),
  metadata: z.strictObject({ name }),
  spec: z.strictObject({
    coordinator: z.strictObject({ replicatedJob: name, jobIndex: count, podIndex: count }),
    network: z.strictObject({
      enableDNSHostnames: z.boolean(),
      publishNotReadyAddresses: z.boolean(),
    }),
    successPolicy: z.strictObject({
      operator: z.enum(["All", "Any"]),
      targetReplicatedJobs: z.array(name),
    }),
    failurePolicy: z.strictObject({
      maxRestarts: count,
      rules: z.array(
        z.strictObject({
          name: z.stringFormat("rule", /^[A-Za-z]([A-Za-z0-9_,:]{0,126}[A-Za-z0-9_])?$/),
          action: z.enum([
            ...(["FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"] as const),
            ...(["RestartJob", "RestartJobAndIgnoreMaxRestarts"] as const),
          ]),
          onJobFailureReasons: z
            .array(
              z.enum([
                ...(["BackoffLimitExceeded", "DeadlineExceeded", "FailedIndexes"] as const),
                ...(["MaxFailedIndexesExceeded", "PodFailurePolicy"] as const),
              ]),
            )
            .optional(),
          targetReplicatedJobs: z.array(name).optional(),
        }),
      ),
    }),
    replicatedJobs: z.array(
      z.strictObject({ name, replicas: count, template: z.strictObject({ spec: job }) }),
    ),
  }),
});

/** A manifest that {@link jobSet} takes. */
export type JobSet = z.output<typeof jobSet>;
