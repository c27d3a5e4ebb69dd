/** Files by pattern, as the tests' bundler offers them. */
interface ImportMeta {
  glob<T>(
    pattern: string | readonly string[],
    options: { readonly query: "?inline" | "?raw"; readonly import: "default" },
  ): Record<string, () => Promise<T>>;
}
