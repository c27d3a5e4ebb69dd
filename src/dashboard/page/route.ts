/** Where in the dashboard one is: the hash of the address, so that every view can be linked to and gone back to. */
import { useEffect, useState } from "preact/hooks";

/** A view and what it is about. `run` is an id. */
export type Route =
  | { readonly view: "runs" }
  | { readonly view: "compare"; readonly runs: readonly string[] }
  | { readonly view: "curves" | "configuration"; readonly run: string }
  | { readonly view: "rollouts"; readonly run: string; readonly query: URLSearchParams }
  | {
      readonly view: "rollout";
      readonly run: string;
      readonly number: number;
      readonly query: URLSearchParams;
    };

/** The link to a view. */
export function href(route: Route): string {
  switch (route.view) {
    case "runs":
      return "#/";
    case "compare":
      return `#/compare?${new URLSearchParams(route.runs.map((run) => ["run", run]))}`;
    case "curves":
      return `#/runs/${pathOf(route.run)}`;
    case "configuration":
      return `#/runs/${pathOf(route.run)}/configuration`;
    case "rollouts":
      return `#/runs/${pathOf(route.run)}/rollouts${queryOf(route.query)}`;
    case "rollout":
      return `#/runs/${pathOf(route.run)}/rollouts/${route.number}${queryOf(route.query)}`;
  }
}

/** The path of a run in a URL. */
export function pathOf(run: string): string {
  return run.split("/").map(encodeURIComponent).join("/");
}

/** The view that a hash names; the list of runs for one that names none. */
export function routeOf(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#?\/?/, "").split(/\?(.*)/s);
  const query = new URLSearchParams(search);
  const [head, name, time, view, number] = path.split("/").map(decoded);
  if (head === "compare") return { view: "compare", runs: query.getAll("run") };
  if (head !== "runs" || !name || !time) return { view: "runs" };
  const run = `${name}/${time}`;
  if (view === "configuration") return { view, run };
  if (view !== "rollouts") return { view: "curves", run };
  if (/^\d+$/.test(number ?? "")) return { view: "rollout", run, number: Number(number), query };
  return { view: "rollouts", run, query };
}

/** The view that the address names now. */
export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const onChange = (): void => setHash(location.hash);
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, []);
  return routeOf(hash);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function queryOf(query: URLSearchParams): string {
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}
