/** A trainer and N generators on a virtual clock, driven by events, as in research on windowed FIFO. */
import { ManualClock } from "../../../src/pool/clock.ts";
import { Scheduler, type SchedulerOptions } from "../../../src/pool/scheduler.ts";

/** What a run of `groups` groups came to. */
export interface Simulated {
  readonly order: readonly number[];
  /** When the last group was taken. */
  readonly makespan: number;
  /** Share of slot time in which nothing was generated, until then. */
  readonly idle: number;
  readonly scheduler: Scheduler;
}

/** Group `id` takes `duration(id)`; steps take no time. */
export function simulate(
  options: SchedulerOptions & { readonly groups: number },
  duration: (id: number) => number,
): Simulated {
  const scheduler = new Scheduler(options);
  const clock = new ManualClock();
  const order: number[] = [];
  let inStep = 0;
  let [busy, makespan] = [0, 0];
  const turn = (): void => {
    for (let moved = true; moved; ) {
      moved = false;
      for (let ticket = scheduler.admit(); ticket; ticket = scheduler.admit()) {
        const { id } = ticket;
        busy += duration(id);
        clock.at(clock.now() + duration(id), () => {
          scheduler.finish(id);
          turn();
        });
      }
      for (
        let ticket = scheduler.take();
        ticket;
        ticket = inStep > 0 ? scheduler.take() : undefined
      ) {
        order.push(ticket.id);
        makespan = clock.now();
        moved = true;
        if (++inStep < scheduler.groupsPerStep && order.length < options.groups) continue;
        scheduler.stepped();
        inStep = 0;
      }
    }
  };
  turn();
  clock.advanceTo(Number.MAX_VALUE);
  return { order, makespan, idle: 1 - busy / (makespan * scheduler.slots), scheduler };
}
