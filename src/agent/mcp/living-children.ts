/** Ends the processes that this one has started when it ends itself, however it does. */
import type { ChildProcess } from "node:child_process";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const living = new Set<ChildProcess>();

/** Ends a child with this process. Returns a function to call once the child has ended. */
export function endWithUs(child: ChildProcess): () => void {
  if (living.size === 0) {
    process.on("exit", endAll);
    // first, since others may listen once, and are gone when they have heard it
    for (const signal of SIGNALS) process.prependListener(signal, onSignal);
  }
  living.add(child);
  return () => {
    if (living.delete(child) && living.size === 0) stopListening();
  };
}

/** Kills a child and all that it has started: `npx` starts the server as a child of its own. */
export function killTree({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    // a child is the leader of a group of its own; Windows has no groups
    process.kill(process.platform === "win32" ? pid : -pid, signal);
  } catch {
    // it has ended already
  }
}

function endAll(): void {
  for (const child of living) killTree(child, "SIGKILL");
}

/** Whoever else listens decides what the signal means. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  endAll();
  stopListening();
  process.kill(process.pid, signal);
}

function stopListening(): void {
  process.off("exit", endAll);
  for (const signal of SIGNALS) process.off(signal, onSignal);
}
