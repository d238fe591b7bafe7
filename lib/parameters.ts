import { z } from 'zod';
import { ConfigError, type ConfigPath } from './errors.js';

/** One parameter that a class takes: its established (snake_case) name and the check of its value. */
export interface Parameter {
  /** Its name in configurations and in checkpoints. */
  readonly toml: string;
  /** What values it takes, and its default. */
  readonly check: z.ZodType;
}

/** What a class takes: camelCase name in code -> parameter. */
export type ParameterTable = Readonly<Record<string, Parameter>>;

/** A key that is not allowed where it stands: an error of the key itself, not of its value. */
export class KeyError extends ConfigError {}

/** An entry of a parameter table. Without a default in its check the parameter is required. */
export function parameter(toml: string, check: z.ZodType): Parameter {
  return { toml, check };
}

/** A finite number. */
export function finite(): z.ZodNumber {
  return z.number();
}

/** A finite number > 0. */
export function positive(): z.ZodNumber {
  return z.number().gt(0);
}

/** A safe integer, at least `min`. */
export function integer(min: number = Number.MIN_SAFE_INTEGER): z.ZodNumber {
  return z.number().int().min(min);
}

/** `true` or `false`. */
export function flag(): z.ZodBoolean {
  return z.boolean();
}

/** A string that is not empty. */
export function text(): z.ZodString {
  return z.string().min(1);
}

/** One of some strings. */
export function oneOf<const T extends readonly [string, ...string[]]>(values: T): z.ZodType<T[number]> {
  return z.enum(values);
}

/** A list whose elements all pass `check`. */
export function list<T>(check: z.ZodType<T>): z.ZodArray<z.ZodType<T>> {
  return z.array(check);
}

/** A reset potential: a finite number, or `null` / `false` for the soft reset; the result has `null` for both. */
export function nullableReset(): z.ZodType<number | null> {
  return z
    .union([z.number(), z.literal(false), z.null()])
    .transform((value) => (value === false ? null : value))
    .describe('a finite number, or false for the soft reset');
}

/**
 * A check written as a function, for values such as `{ kind, params }` whose form depends on a registry.
 * `resolve` throws `ConfigError`s with paths relative to the value and returns what the parameter becomes.
 */
export function resolved<T>(resolve: (value: unknown) => T): z.ZodType<T> {
  return z.unknown().transform((value, context): T => {
    try {
      return resolve(value);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      context.addIssue({
        code: 'custom',
        path: [...error.path],
        message: error.expected,
        params: { cause: error },
      });
      return z.NEVER;
    }
  });
}

/**
 * Options in either spelling -> an object with the camelCase names, checked and with the defaults filled in.
 * `undefined` means the default. Errors carry `path` and the name as it was given; a missing parameter is named
 * as in a configuration when there is a path, else as in code.
 * @throws ConfigError unknown name (with the nearest valid one), both spellings of one parameter, wrong value
 */
export function resolveParameters<T>(table: ParameterTable, given: unknown, path: ConfigPath = []): T {
  const plain = plainTable(given, path);
  const spellings = new Map<string, string>();
  for (const [name, entry] of Object.entries(table)) spellings.set(name, name).set(entry.toml, name);
  const values = new Map<string, { key: string; value: unknown }>();
  for (const [key, value] of Object.entries(plain)) {
    const name = spellings.get(key);
    if (name === undefined) {
      const names = Object.entries(table).map(([camel, entry]) => (path.length > 0 ? entry.toml : camel));
      throw unknownKey(path, key, names);
    }
    const other = values.get(name);
    if (other)
      throw new KeyError([...path, key], `one spelling of ${other.key}`, `both ${other.key} and ${key}`);
    values.set(name, { key, value });
  }
  const result: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries(table)) {
    const { key, value } = values.get(name) ?? {
      key: path.length > 0 ? entry.toml : name,
      value: undefined,
    };
    result[name] = checkValue(entry.check, value, [...path, key]);
  }
  return result as T;
}

/**
 * The value that `check` makes of `value`.
 * @throws ConfigError for the first thing that is wrong, with its whole path; `KeyError` for an unknown key
 */
export function checkValue<T>(check: z.ZodType<T>, value: unknown, path: ConfigPath): T {
  const outcome = check.safeParse(value);
  if (outcome.success) return outcome.data;
  // A misspelt key is told as such, not as the absence of the right one.
  const { issues } = outcome.error;
  const issue = deepest(issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]!);
  const inner = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key));
  const schema = z.toJSONSchema(check, { unrepresentable: 'any', io: 'input' }) as JsonSchema;
  if (issue.code === 'unrecognized_keys') {
    const names = at([schema], inner).flatMap((found) => Object.keys(found.properties ?? {}));
    throw unknownKey([...path, ...inner], issue.keys[0]!, names);
  }
  const cause: unknown = issue.code === 'custom' ? issue.params?.['cause'] : undefined;
  const whole = [...path, ...inner];
  if (cause instanceof ConfigError) {
    const kind = cause instanceof KeyError ? KeyError : ConfigError;
    throw new kind(whole, cause.expected, cause.got);
  }
  const got = inner.reduce<unknown>(
    (found, key) => (found as Record<string | number, unknown>)?.[key],
    value,
  );
  const described = at([schema], inner).map((found) => describe(found, got, false));
  const expected = issue.code === 'custom' ? issue.message : [...new Set(described)].join(' or ');
  throw new ConfigError(whole, expected, shown(got));
}

/** The error of a key that does not exist, with the nearest of those that do. */
export function unknownKey(path: ConfigPath, key: string, names: readonly string[]): KeyError {
  const expected = names.length > 0 ? `a known key (nearest: ${nearest(key, names)})` : 'no keys here';
  return new KeyError([...path, key], expected, `unknown key ${shown(key)}`);
}

/** A value as error messages show it: numbers and booleans as they are, strings quoted, the rest by its kind. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (typeof value === 'string')
    return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value);
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (value instanceof Date) return 'a date';
  if (typeof value === 'function') return `the function ${value.name || '(anonymous)'}`;
  if (typeof value !== 'object') return String(value);
  const maker: unknown = Object.getPrototypeOf(value)?.constructor;
  return typeof maker === 'function' && maker !== Object ? `an instance of ${maker.name}` : 'a table';
}

/** The name among `names` that is nearest to `name` by edit distance, case and underscores aside. */
export function nearest(name: string, names: readonly string[]): string {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[_-]/g, '');
  let best = names[0] ?? '';
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of names) {
    const distance = editDistance(plain(name), plain(candidate));
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** `value` if it is an object with string keys, a table of a configuration or an options object. */
export function plainTable(value: unknown, path: ConfigPath): Readonly<Record<string, unknown>> {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Date) {
    throw new ConfigError(path, 'a table', shown(value));
  }
  return value as Readonly<Record<string, unknown>>;
}

// Damerau-Levenshtein distance (restricted): insertions, deletions, substitutions, neighbours swapped.
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1;
      let cost = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + change);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, before[j - 2]! + 1);
      }
      next.push(cost);
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}

type Issue = z.core.$ZodIssue;

// In a union the branch that got farthest is the one that was meant.
function deepest(issue: Issue): Issue {
  if (issue.code !== 'invalid_union') return issue;
  let found: Issue = issue;
  for (const branch of issue.errors) {
    const inner = branch[0] && deepest(branch[0]);
    const path = inner ? [...issue.path, ...inner.path] : issue.path;
    if (inner && path.length > found.path.length) found = { ...inner, path } as Issue;
  }
  return found;
}

// The part of JSON Schema that zod emits for our checks. Expectations are written from it, so that they always
// say what the check does.
interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly minLength?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly exclusiveMaximum?: number;
}

// The schemas of the place `path` steps below; several where a union has several.
function at(schemas: readonly JsonSchema[], path: ConfigPath): readonly JsonSchema[] {
  return path.reduce<readonly JsonSchema[]>(
    (found, key) =>
      found.flatMap((schema) => {
        if (schema.anyOf) return at(schema.anyOf, [key]);
        if (typeof key === 'number') return schema.items ? [schema.items] : [];
        const more =
          typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined;
        const next = schema.properties?.[key] ?? more;
        return next ? [next] : [];
      }),
    schemas,
  );
}

function describe(schema: JsonSchema, got: unknown, many: boolean): string {
  if (schema.description) return schema.description;
  if (schema.const !== undefined) return String(shown(schema.const));
  if (schema.enum) return `one of ${schema.enum.map(shown).join(', ')}`;
  const { type } = schema;
  const branches =
    schema.anyOf ?? (typeof type === 'object' ? type.map((one) => ({ ...schema, type: one })) : []);
  if (branches.length > 0) return branches.map((branch) => describe(branch, got, many)).join(' or ');
  const noun = (one: string, several: string): string => (many ? several : one);
  switch (type) {
    case 'integer': {
      const odd = typeof got === 'number' && Number.isInteger(got) && !Number.isSafeInteger(got);
      return noun(odd ? 'a safe integer' : 'an integer', 'integers') + bounds(schema);
    }
    case 'number': {
      const odd = typeof got === 'number' && !Number.isFinite(got);
      return noun(odd ? 'a finite number' : 'a number', 'numbers') + bounds(schema);
    }
    case 'string':
      return schema.minLength ? noun('a non-empty string', 'non-empty strings') : noun('a string', 'strings');
    case 'boolean':
      return noun('true or false', 'booleans');
    case 'null':
      return 'null';
    case 'array': {
      const filled = schema.minItems ? 'non-empty ' : '';
      const items = schema.items && Object.keys(schema.items).length > 0;
      return (
        noun(`a ${filled}list`, `${filled}lists`) + (items ? ` of ${describe(schema.items, got, true)}` : '')
      );
    }
    default:
      return noun('a table', 'tables');
  }
}

function bounds(schema: JsonSchema): string {
  const parts: string[] = [];
  const add = (sign: string, limit: number | undefined): void => {
    if (limit !== undefined && Math.abs(limit) < Number.MAX_SAFE_INTEGER) parts.push(`${sign} ${limit}`);
  };
  add('>', schema.exclusiveMinimum);
  add('>=', schema.minimum);
  add('<', schema.exclusiveMaximum);
  add('<=', schema.maximum);
  return parts.length > 0 ? ` ${parts.join(' and ')}` : '';
}
