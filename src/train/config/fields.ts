/** Fields of a configuration: zod schemas that know in words what they take. */
import { z } from "zod";

/** A schema with the words for what it takes, as in `whole number from 1`. */
export function taking<S extends z.ZodType>(expected: string, schema: S): S {
  return schema.meta({ expected });
}

/** A whole number of at least `least`. */
export function whole(least: number): z.ZodNumber {
  return taking(`whole number from ${least}`, z.int().min(least));
}

/** A finite number for which `isFine` holds; `rule` says which those are. */
export function number(
  rule = "number",
  isFine: (value: number) => boolean = () => true,
): z.ZodNumber {
  return taking(rule, z.number().refine(isFine));
}

/** A number above 0. */
export function positive(): z.ZodNumber {
  return number("number above 0", (x) => x > 0);
}

/** A number of at least 0. */
export function notNegative(): z.ZodNumber {
  return number("number from 0", (x) => x >= 0);
}

/** A share; `ends` are the values at which it may be too. */
export function share(ends: readonly number[] = [0, 1]): z.ZodNumber {
  const [zero, one] = [ends.includes(0), ends.includes(1)];
  const rule = `number ${zero ? "from 0" : "above 0"} ${one ? "to 1" : "to below 1"}`;
  return number(rule, (x) => (zero ? x >= 0 : x > 0) && (one ? x <= 1 : x < 1));
}

/** A temperature, as samplers take it. */
export function temperature(): z.ZodNumber {
  const isFine = (t: number): boolean => t === 0 || (t >= 1e-4 && t <= 1e4);
  return number("0, or number from 0.0001 to 10000", isFine);
}

/** A text that is not empty; `what` says of what, as in `path`. */
export function text(what = "text"): z.ZodString {
  return taking(what, z.string().min(1));
}

/** True or false. */
export function flag(): z.ZodBoolean {
  return taking("true or false", z.boolean());
}

/** One of the words. */
export function choice<const W extends readonly string[]>(
  words: W,
): z.ZodEnum<{ [K in W[number]]: K }> {
  return taking(oneOf(words), z.enum(words)).meta({ words });
}

/** A key: what it takes, what it is when it is left out, and what it means. */
export function key<S extends z.ZodType>(
  schema: S,
  preset: z.output<S>,
  description: string,
): z.ZodType<z.output<S>> {
  return schema.default(preset as z.util.NoUndefined<z.output<S>>).describe(description);
}

/** A key that may be `null`, and is when it is left out. */
export function nullable<S extends z.ZodType>(
  schema: S,
  description: string,
): z.ZodType<z.output<S> | null> {
  return schema.nullable().default(null).describe(description);
}

/** A key that follows from others when it is left out; `preset` says how. The resolved configuration has its value. */
export function derived<S extends z.ZodType>(
  schema: S,
  preset: string,
  description: string,
): z.ZodType<z.output<S> | undefined> {
  return schema.optional().meta({ description, preset });
}

/** A section: what is left out has its default; `complete` fills in what follows from other keys. */
export function section<S extends z.ZodRawShape, C = z.output<z.ZodObject<S, z.core.$strict>>>(
  description: string,
  shape: S,
  complete?: (read: z.output<z.ZodObject<S, z.core.$strict>>) => C,
): z.ZodType<C> {
  const object = z.strictObject(shape);
  const schema = complete ? object.transform(complete) : object;
  return schema.prefault({} as never).describe(description) as unknown as z.ZodType<C>;
}

/** `a, b or c`. */
export const oneOf = (words: readonly string[]): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
