import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Database, QUERY_CANCELED } from "../../../../examples/sql-agent/database.ts";
import { openDatabase } from "../../../../examples/sql-agent/open-database.ts";
import { trainingQuestion, unseenQuestions } from "../../../../examples/sql-agent/questions.ts";
import { isSameResult } from "../../../../examples/sql-agent/result-set.ts";
import { SharedDatabase } from "../../../../examples/sql-agent/shared-database.ts";
import { shopTools } from "../../../../examples/sql-agent/tools.ts";

/** What is asked in the place of a question, and the SQLSTATE with which PostgreSQL refuses it. */
const REFUSED: Readonly<Record<string, string>> = {
  // one statement, and one that has rows
  "drop table orders": "42P11",
  "truncate orders": "42P11",
  "create temp table mine (id integer)": "42P11",
  "select * into mine from orders": "42P11",
  "select 1; drop table orders": "42P11",
  "copy orders to program 'touch /tmp/forge-gpu-was-here'": "42P11",
  "copy orders from program 'yes'": "42P11",
  "set role postgres": "42P11",
  "reset role": "42P11",
  "reset session authorization": "42P11",
  "alter system set work_mem = '1MB'": "42P11",
  "do $$ begin delete from orders; end $$": "42P11",
  commit: "42P11",
  "": "42P11",
  // a transaction that is read-only
  "delete from orders returning *": "25006",
  "with gone as (delete from orders returning *) select count(*) from gone": "25006",
  "update orders set quantity = 0 returning *": "25006",
  "insert into orders select * from orders returning *": "25006",
  "select set_config('transaction_read_only', 'off', true)": "25001",
  // no rights, and no way to become somebody else
  "select * from pg_authid": "42501",
  "select pg_read_file('PG_VERSION')": "42501",
  "select pg_ls_dir('.')": "42501",
  "select set_config('role', 'postgres', false)": "42501",
  "select set_config('session_authorization', 'postgres', false)": "42501",
  "select set_config('role', 'postgres', true), query_to_xml('select pg_read_file(''PG_VERSION'')', true, true, '')":
    "42501",
  // what is too large
  "select repeat('x', 2000000000)": "54000",
  "select repeat('x', 20000)": "54000",
  // and what is no SQL
  "selec 1": "42601",
  "select town from customers": "42703",
  "select * from clients": "42P01",
  "select 1 / 0": "22012",
};

const LIMITS = { rows: 50, ms: 3_000 };

/** A server of one's own choice; the embedded one is always there. */
const { SQL_AGENT_DATABASE_URL: url } = process.env;

describe.each([
  { name: "PGlite", at: undefined },
  { name: "a server, at SQL_AGENT_DATABASE_URL", at: url },
])("the shop in $name", ({ name, at }) => {
  describe.skipIf(name !== "PGlite" && at === undefined)("where it is there", () => {
    let shop: Database;
    beforeAll(async () => {
      shop = await openDatabase(at, LIMITS);
    });
    afterAll(() => shop[Symbol.asyncDispose]());

    const all = async (): Promise<unknown> =>
      (
        await shop.query(`
          select (select md5(string_agg(c::text, '' order by c)) from customers c),
            (select md5(string_agg(p::text, '' order by p)) from products p),
            (select md5(string_agg(o::text, '' order by o)) from orders o)`)
      ).rows;

    it("answers with names, values and the order asked for", async () => {
      const { columns, rows } = await shop.query(
        "select city, count(*), count(*) from customers group by city order by 2 desc, 1",
      );
      expect(columns).toEqual(["city", "count", "count"]);
      const people = rows.map(([, count]) => Number(count));
      expect(people).toEqual(people.toSorted((a, b) => b - a));
      expect(people.reduce((sum, count) => sum + count)).toBe(60);
      const kinds = "select null::integer, 1.50::numeric, true, date '2026-11-23', 'ö', json '[1]'";
      expect((await shop.query(kinds)).rows).toEqual([[null, 1.5, true, "2026-11-23", "ö", "[1]"]]);
      expect(await shop.query("select 1 where false")).toMatchObject({ rows: [], isCut: false });
    });

    it("hands over so many rows, and says that there are more", async () => {
      const numbers = async (count: number) =>
        await shop.query(`select * from generate_series(1, ${count})`);
      expect((await numbers(50)).isCut).toBe(false);
      expect((await numbers(50)).rows).toHaveLength(50);
      expect((await numbers(1_000_000)).isCut).toBe(true);
      expect((await numbers(1_000_000)).rows).toHaveLength(50);
    });

    it("refuses whatever would change something, and stays as it is", async () => {
      const before = await all();
      for (const [sql, code] of Object.entries(REFUSED))
        await expect(shop.query(sql), sql).rejects.toMatchObject({ name: "QueryError", code });
      // allowed, and undone; servers before 16 make large objects too
      await shop.query("select lo_create(7)").catch(() => undefined);
      expect((await shop.query("select * from pg_largeobject_metadata")).rows).toEqual([]);
      await shop.query("select set_config('statement_timeout', '0', false)");
      await shop.query("select set_config('search_path', 'pg_catalog', false)");
      expect(await all()).toEqual(before);
      const { rows } = await shop.query(
        "select rolname, rolsuper from pg_roles where rolname = current_user",
      );
      expect(rows).toEqual([["forge_gpu_shop_reader", false]]);
    });

    it("ends what takes too long, and answers what comes behind it", async () => {
      const before = await all();
      const late = shop.query("select count(*) from generate_series(1, 100000000000)");
      const next = shop.query("select count(*) from orders");
      await expect(late).rejects.toMatchObject({ code: QUERY_CANCELED });
      expect((await next).rows).toEqual([[500]]);
      expect(await all()).toEqual(before);
    });

    it("has one answer to each question, which is no accident of empty tables", async () => {
      const training = Array.from({ length: 100 }, (_, index) => trainingQuestion(index));
      const answers = await Promise.all(
        [...unseenQuestions, ...training].map(async ({ sql, isOrdered }) => {
          const answer = await shop.query(sql);
          expect(isSameResult(answer, await shop.query(sql), isOrdered), sql).toBe(true);
          return answer;
        }),
      );
      const isEmpty = ({ rows }: (typeof answers)[number]): boolean =>
        rows.flat().every((cell) => cell === null || cell === 0);
      expect(answers.filter(isEmpty).length).toBeLessThan(answers.length / 20);
    });

    describe("tools", () => {
      const call = async (name: string, input: object): Promise<unknown> => {
        const tool = shopTools(shop)[name];
        if (!tool) throw new Error(`no tool ${name}`);
        const { signal } = new AbortController();
        const context = { signal, seed: 0, task: undefined, callId: "call" };
        return await tool.run(tool.parse(input), context);
      };

      it("show tables, columns and rows", async () => {
        expect(await call("list_tables", {})).toBe("customers\norders\nproducts");
        expect(await call("describe", { table: "products" })).toBe(
          "product_id|integer\ncategory|text\nprice|numeric(6,2)\nstock|integer",
        );
        expect(await call("query", { sql: "select count(*) from orders" })).toBe("500");
        const many = await call("query", { sql: "select 7 from orders" });
        expect(many).toBe(`${"7\n".repeat(6)}and more`);
      });

      it("say what the database says", async () => {
        for (const table of ["clients", "'; drop table orders; --", "\\', (select 1)"])
          await expect(call("describe", { table })).rejects.toThrow("does not exist");
        await expect(call("query", { sql: "select town from customers" })).rejects.toThrow(
          'column "town" does not exist',
        );
      });
    });

    it("is asked once for the same, by all episodes", async () => {
      let opened = 0;
      const shared = new SharedDatabase(async () => {
        opened++;
        return shop;
      });
      const drawn = await Promise.all([1, 2].map(() => shared.query("select random()")));
      expect(drawn[0]).toEqual(drawn[1]);
      expect((await shop.query("select random()")).rows).not.toEqual(drawn[0]?.rows);
      expect(opened).toBe(1);
    });
  });
});
