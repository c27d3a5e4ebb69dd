import { expect, it } from "vitest";
import type { Move } from "../../../cluster/membership/host.ts";
import { type Order, Orders } from "../../../cluster/orders.ts";

type MoveOrder = Extract<Order, { type: "move" }>;

const moveOf = (epoch: number): Move => ({
  ...{ epoch, step: 3, members: ["a", "b"], work: "w", leader: "a" },
});

function takenMove(orders: Orders): MoveOrder {
  const order = orders.take();
  if (order?.type !== "move") expect.fail(`${order?.type}`);
  return order;
}

it("an order is taken once, and is news until then", () => {
  const orders = new Orders();
  expect(orders.take()).toBeUndefined();
  const { news } = orders;
  expect(news.aborted).toBe(false);
  orders.move(moveOf(1));
  expect(news.aborted).toBe(true);
  const { move, signal } = takenMove(orders);
  expect([move, signal.aborted]).toEqual([moveOf(1), false]);
  expect(orders.news.aborted).toBe(false);
  expect(orders.take()).toBeUndefined();
});

it("what is committed is so for whoever waits for it, and is not aborted any more", async () => {
  const orders = new Orders();
  orders.move(moveOf(4));
  const { signal, isCommitted } = takenMove(orders);
  orders.commit(3);
  orders.abort(3);
  expect(signal.aborted).toBe(false);
  orders.commit(4);
  expect(await isCommitted).toBe(true);
  orders.abort(4);
  orders.move(moveOf(4));
  expect(signal.aborted).toBe(false);
});

it("what is aborted is not committed, and is no order any more", async () => {
  const orders = new Orders();
  orders.move(moveOf(5));
  orders.abort(5);
  expect(orders.take()).toBeUndefined();
  orders.move(moveOf(6));
  const { signal, isCommitted } = takenMove(orders);
  orders.abort(6);
  expect(signal.aborted).toBe(true);
  orders.commit(6);
  expect(await isCommitted).toBe(false);
});

it("the next order takes the place of the last one, taken or not", async () => {
  const orders = new Orders();
  orders.move(moveOf(1));
  const first = takenMove(orders);
  orders.fetch({ step: 2, hash: "h", sources: ["b"] });
  expect([first.signal.aborted, await first.isCommitted]).toEqual([true, false]);
  orders.move(moveOf(2));
  const second = takenMove(orders);
  // that of the fetch that nobody has taken
  orders.abort(1);
  orders.commit(1);
  expect(second.signal.aborted).toBe(false);
  orders.end();
  expect([second.signal.aborted, await second.isCommitted]).toEqual([true, false]);
  expect(orders.take()?.type).toBe("end");
});

it("a fetch and an end belong to no epoch", () => {
  const orders = new Orders();
  orders.fetch({ step: 2, hash: "h", sources: ["b"] });
  const order = orders.take();
  orders.abort(0);
  orders.commit(0);
  expect(order).toMatchObject({ type: "fetch", fetch: { step: 2, hash: "h" } });
  expect(order?.signal.aborted).toBe(false);
});

it("the lead is news, and no order", () => {
  const orders = new Orders();
  const { news } = orders;
  orders.lead(true);
  expect([orders.isLeading, news.aborted]).toEqual([true, true]);
  expect(orders.take()).toBeUndefined();
  orders.move(moveOf(1));
  const { signal } = takenMove(orders);
  orders.lead(false);
  expect([orders.isLeading, signal.aborted, orders.news.aborted]).toEqual([false, false, true]);
});
