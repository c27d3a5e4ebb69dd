/** The lists of rollouts that are one click away. */

/** A list: how it is called, what it is, and how the server is asked for it. */
export interface QuickList {
  readonly label: string;
  readonly title: string;
  readonly query: Readonly<Record<string, string>>;
}

export const QUICK_LISTS: readonly QuickList[] = [
  {
    label: "Best",
    title: "The greatest rewards first",
    query: { sort: "reward", order: "desc" },
  },
  {
    label: "Worst",
    title: "The least rewards first",
    query: { sort: "reward", order: "asc" },
  },
  {
    label: "Most surprising",
    title:
      "By the greatest |advantage| × −log-prob of a token: what the policy hardly expected of itself, and what mattered",
    query: { sort: "surprise", order: "desc" },
  },
];
