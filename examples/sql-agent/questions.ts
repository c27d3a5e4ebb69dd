/** Questions about the shop in plain English, and the SQL that answers each: combinations of a few parts. */
import { CATEGORIES, CITIES, mixed, STATUSES } from "./shop.ts";

/** A question. */
export interface Question {
  readonly text: string;
  /** What answers it. */
  readonly sql: string;
  /** What it is made of, values aside: questions of one combination differ in a name or a number only. */
  readonly combination: string;
  /** Whether it asks for an order of the rows. */
  readonly isOrdered: boolean;
  /** The tables that it takes. */
  readonly tables: readonly string[];
  /** What somebody asks the database who may have misread it: of questions to train on. */
  readonly demonstrated?: string;
}

type Table = "customers" | "products" | "orders";

/** What is asked for: `[words, SQL]`. */
type Measure = readonly [words: string, sql: string];

/** A restriction. Its values are put in the place of `#`. */
interface Filter {
  readonly words: string;
  readonly sql: string;
  readonly column: string;
  readonly values: readonly (string | number)[];
}

/** What is asked about a table. */
interface Topic {
  readonly table: Table;
  readonly measures: readonly Measure[];
  readonly filters: readonly Filter[];
  /** Columns that the answer may be parted by. */
  readonly groups: readonly string[];
}

/** What a combination is made of. */
interface Combination {
  readonly topic: Topic;
  readonly measure: Measure;
  readonly filter: Filter | undefined;
  readonly group: string | undefined;
  readonly order: Measure;
}

const BOUNDS = [20, 40, 60, 80];
const QUARTERS = [1, 2, 3, 4];

const city: Filter = { words: "from #", sql: "city = '#'", column: "city", values: CITIES };
const category: Filter = {
  words: "in #",
  sql: "category = '#'",
  column: "category",
  values: CATEGORIES,
};
const status: Filter = {
  words: "that are #",
  sql: "status = '#'",
  column: "status",
  values: STATUSES,
};
const quarter: Filter = {
  words: "in quarter #",
  sql: "quarter = #",
  column: "quarter",
  values: QUARTERS,
};

/** Restrictions of a number, from above and from below. */
function bounds(column: string, values: readonly number[]): Filter[] {
  return [
    { words: `with ${column} over #`, sql: `${column} > #`, column, values },
    { words: `with ${column} under #`, sql: `${column} < #`, column, values },
  ];
}

function measures(table: Table, columns: readonly string[]): Measure[] {
  const each = columns.flatMap((column): Measure[] => [
    [`total ${column} of ${table}`, `sum(${column})`],
    [`average ${column} of ${table}`, `avg(${column})`],
    [`highest ${column} of ${table}`, `max(${column})`],
    [`lowest ${column} of ${table}`, `min(${column})`],
  ]);
  return [[`number of ${table}`, "count(*)"], ...each];
}

const TOPICS: readonly Topic[] = [
  {
    table: "customers",
    measures: measures("customers", ["age"]),
    filters: [city, ...bounds("age", BOUNDS.slice(1, 3))],
    groups: ["city"],
  },
  {
    table: "products",
    measures: measures("products", ["price", "stock"]),
    filters: [category, ...bounds("price", BOUNDS), ...bounds("stock", BOUNDS)],
    groups: ["category"],
  },
  {
    table: "orders",
    measures: measures("orders", ["quantity"]),
    filters: [city, category, status, quarter, ...bounds("quantity", BOUNDS)],
    groups: ["city", "category", "status"],
  },
];

/** Where a column of another table comes from. */
const JOINS: Readonly<Record<string, string>> = {
  city: "customers",
  category: "products",
};

/** Orders of the rows; ties in alphabetical order. */
const ORDERS: readonly Measure[] = [
  ["", ""],
  ["highest first", "order by 2 desc, 1"],
  ["lowest first", "order by 2, 1"],
  ["only the highest", "order by 2 desc, 1 limit 1"],
];

const UNORDERED = ORDERS[0] as Measure;

const COMBINATIONS: readonly Combination[] = TOPICS.flatMap((topic) =>
  topic.measures.flatMap((measure) =>
    [undefined, ...topic.filters].flatMap((filter) =>
      [undefined, ...topic.groups].flatMap((group): Combination[] => {
        if (group === undefined) return [{ topic, measure, filter, group, order: UNORDERED }];
        // one city per city says nothing
        if (group === filter?.column) return [];
        return ORDERS.map((order) => ({ topic, measure, filter, group, order }));
      }),
    ),
  ),
);

/** One combination in this many is held out. */
const HELD_OUT = 6;

const isHeldOut = (_: Combination, index: number): boolean => mixed(index) % HELD_OUT === 0;
const SEEN = COMBINATIONS.filter((each, index) => !isHeldOut(each, index));
const UNSEEN = COMBINATIONS.filter(isHeldOut);

/** Question number `index` of those to train on. About every other one is misread in a part, drawn anew for each number. */
export function trainingQuestion(index: number): Question {
  const number = mixed(index);
  const combination = SEEN[number % SEEN.length] as Combination;
  const value = mixed(number);
  const asked = question(combination, value);
  const slip = mixed(~value);
  if (slip % 4 === 0) return { ...asked, demonstrated: asked.sql };
  const misread = question(misreadCombination(combination, slip), value + ((slip >>> 4) % 2));
  return { ...asked, demonstrated: misread.sql };
}

/** The combination with another measure, another restriction, or another order; or as it is, for another value. */
function misreadCombination(combination: Combination, slip: number): Combination {
  const { topic, group } = combination;
  const drawn = <T>(of: readonly T[]): T => of[mixed(slip) % of.length] as T;
  switch ((slip >>> 2) % 4) {
    case 0:
      return { ...combination, measure: drawn(topic.measures) };
    case 1:
      return { ...combination, filter: drawn(topic.filters.filter((f) => f.column !== group)) };
    case 2:
      return group === undefined ? combination : { ...combination, order: drawn(ORDERS) };
    default:
      return combination;
  }
}

/** Questions of combinations that no training question has: one of each. */
export const unseenQuestions: readonly Question[] = UNSEEN.map((combination, index) =>
  question(combination, mixed(~index)),
);

function question({ topic, measure, filter, group, order }: Combination, number: number): Question {
  const value = String(filter?.values[number % filter.values.length]);
  const others = new Set(
    [filter?.column, group].flatMap((column) => {
      const other = JOINS[column ?? ""];
      return other === undefined || other === topic.table ? [] : [other];
    }),
  );
  const words = [measure[0], filter?.words.replace("#", value), group && `per ${group}`, order[0]];
  const sql = [
    `select ${group ? `${group}, ` : ""}${measure[1]} from ${topic.table}`,
    ...[...others].sort().map((other) => `join ${other} using (${other.slice(0, -1)}_id)`),
    filter && `where ${filter.sql.replace("#", value)}`,
    group && `group by ${group}`,
    order[1],
  ];
  const said = (parts: readonly (string | undefined)[]): string =>
    parts.filter((part) => part).join(" ");
  return {
    text: said(words),
    sql: said(sql),
    combination: [measure[0], filter?.words, group, order[0]].map((part) => part ?? "").join("/"),
    isOrdered: order !== UNORDERED,
    tables: [topic.table, ...others],
  };
}
