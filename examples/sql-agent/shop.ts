/** The shop: tables, what is in them, and the one way in which an agent may read them, as SQL that makes it all. */

/** Where the shop lies, and who reads it: of their own, so that a database which has other things can hold it. */
export const SCHEMA = "forge_gpu_shop";
const READER = "forge_gpu_shop_reader";

export const CITIES = ["berlin", "lisbon", "oslo", "paris", "rome"] as const;
export const CATEGORIES = ["books", "games", "music", "tools", "toys"] as const;
export const STATUSES = ["open", "paid", "sent", "lost"] as const;

/** What of a cell is shown at most, in characters of a row. */
const MOST_OF_A_ROW = 10_000;

/** The tables, as they are made. */
export const TABLES = `
create table customers (
  customer_id integer primary key,
  city text not null,
  age integer not null
);
create table products (
  product_id integer primary key,
  category text not null,
  price numeric(6, 2) not null,
  stock integer not null
);
create table orders (
  order_id integer primary key,
  customer_id integer not null references customers,
  product_id integer not null references products,
  quantity integer not null,
  status text not null,
  quarter integer not null
);`;

/**
 * `answer(sql, most)` reads with the rights of its owner, who may read the shop and nothing else. A cursor takes one statement,
 * and only one that has rows; in a function of this kind PostgreSQL lets nobody become somebody else.
 */
const ANSWER = `
create function answer(question text, most integer)
  returns table (names json, cells json)
  language plpgsql security definer set search_path = ${SCHEMA}, pg_temp
as $$
declare
  answers refcursor;
  found_row record;
begin
  open answers no scroll for execute question;
  for i in 1 .. most loop
    fetch answers into found_row;
    exit when not found;
    if length(found_row::text) > ${MOST_OF_A_ROW} then
      raise exception 'a row is longer than ${MOST_OF_A_ROW} characters' using errcode = 'program_limit_exceeded';
    end if;
    return query select json_agg(key), json_agg(value) from json_each(row_to_json(found_row));
  end loop;
end $$;`;

/** SQL that makes the shop, in the place of one that is there: for somebody who may make schemas and roles. */
export function shopSql(): string {
  return `
begin;
select pg_advisory_xact_lock(hashtext('${SCHEMA}'));
drop schema if exists ${SCHEMA} cascade;
do $$ begin
  if not exists (select from pg_roles where rolname = '${READER}') then create role ${READER} nologin; end if;
end $$;
grant ${READER} to current_user;
create schema ${SCHEMA};
set local search_path = ${SCHEMA};
${TABLES}
${insert("customers", 60, (i) => [pick(CITIES, i, 1), between(18, 80, i, 2)])}
${insert("products", 40, (i) => [
  pick(CATEGORIES, i, 3),
  between(100, 9999, i, 4) / 100,
  between(0, 99, i, 5),
])}
${insert("orders", 500, (i) => [
  between(1, 60, i, 6),
  between(1, 40, i, 7),
  between(1, 99, i, 8),
  pick(STATUSES, i, 9),
  between(1, 4, i, 10),
])}
${ANSWER}
grant usage, create on schema ${SCHEMA} to ${READER};
grant select on all tables in schema ${SCHEMA} to ${READER};
alter function answer owner to ${READER};
revoke create on schema ${SCHEMA} from ${READER};
revoke all on function answer from public;
commit;`;
}

/** Rows 1 to `count`, numbered. */
function insert(
  table: string,
  count: number,
  row: (index: number) => readonly (string | number)[],
): string {
  const cell = (value: string | number): string =>
    typeof value === "number" ? String(value) : `'${value}'`;
  const rows = Array.from({ length: count }, (_, i) => `(${[i + 1, ...row(i)].map(cell).join()})`);
  return `insert into ${table} values ${rows.join()};`;
}

function pick<T>(values: readonly T[], index: number, column: number): T {
  return values[between(0, values.length - 1, index, column)] as T;
}

/** Whole number from `least` to `most`, the same for the same row and column. */
function between(least: number, most: number, index: number, column: number): number {
  return least + (mixed(index * 31 + column) % (most - least + 1));
}

/** 32 bits that look drawn. Source: the finaliser of MurmurHash3. */
export function mixed(number: number): number {
  let bits = Math.imul(number + 1, 0x9e3779b1);
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
