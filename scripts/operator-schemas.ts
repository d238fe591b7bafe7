/** From the allow-list, the overrides and libtorch's schemas to the functions that are generated. */
import type { OperatorSchema, SchemaArgument } from '../lib/native/addon.js';

/** operators.overrides.json: what the schemas do not decide. Every entry says why. */
export interface Overrides {
  /** Names in TypeScript where the camelCase one cannot be used. */
  readonly names: Readonly<Record<string, { function: string; method: string; reason: string }>>;
  /** Arguments of one overload that are keyword-only in the others. */
  readonly keywordOnly: Readonly<Record<string, { arguments: readonly string[]; reason: string }>>;
  /** Arguments that TypeScript does not show, with the value they get. */
  readonly fixed: Readonly<
    Record<string, { values: Readonly<Record<string, boolean | null>>; reason: string }>
  >;
  /** The overload that is called where the arguments fit two of them. */
  readonly fallback: Readonly<Record<string, { overload: string; reason: string }>>;
  /** Words for `str` arguments, and words with numbers for `int` ones; by argument or operator.argument. */
  readonly words: Readonly<Record<string, Words & { reason: string }>>;
  /** Integers that libtorch computes with before it checks them: below 2^31, or for a Scalar safe integers. */
  readonly bounded: Readonly<Record<string, { arguments: readonly string[]; reason: string }>>;
  /** Operators without results that may run on the native thread: see `queued` of lib/tensor/dispatch.ts. */
  readonly queued: Readonly<Record<string, { reason: string }>>;
  /** Results that may be undefined tensors, by index. */
  readonly nullable: Readonly<Record<string, { results: readonly number[]; reason: string }>>;
  /** Names of results that the schema leaves without. */
  readonly results: Readonly<Record<string, { names: readonly string[]; reason: string }>>;
}

/** The words that an argument takes. */
export interface Words {
  /** With the numbers that libtorch has for them, where it takes a number. */
  readonly values: readonly string[] | Readonly<Record<string, number>>;
  /** A type of lib/tensor/types.ts for them. */
  readonly type?: string;
}

/** An argument with what TypeScript makes of it. */
export interface Argument extends SchemaArgument {
  readonly jsName: string;
  readonly words: Words | undefined;
  /** See `Overrides.bounded`. */
  readonly bounded: boolean;
}

/** One overload, its arguments sorted by how a caller gives them. */
export interface Overload {
  readonly name: string;
  readonly overload: string;
  readonly schema: OperatorSchema;
  readonly positional: readonly Argument[];
  readonly keywords: readonly Argument[];
  /** Source text of arguments that the caller does not give, by name. */
  readonly hidden: ReadonlyMap<string, string>;
  /** Makes a tensor of a given dtype on a given device. */
  readonly isFactory: boolean;
  /** Called through `run`, see `Overrides.queued`. */
  readonly isQueued: boolean;
  readonly nullable: readonly number[];
  readonly resultNames: readonly string[];
}

/** All overloads behind one function of TypeScript. */
export interface Family {
  readonly name: string;
  readonly functionName: string;
  readonly methodName: string;
  readonly overloads: readonly Overload[];
  readonly fallback: string | undefined;
}

const SCALAR_TYPES = ['Tensor', 'SymInt', 'int', 'float', 'bool', 'str', 'Scalar'];
const OTHER_TYPES = ['ScalarType', 'Device', 'Layout', 'MemoryFormat', 'Generator'];
const LIST_TYPES = ['Tensor[]', 'Tensor?[]', 'SymInt[]', 'int[]', 'float[]', 'bool[]', 'Scalar[]'];
const KNOWN_TYPES: ReadonlySet<string> = new Set([...SCALAR_TYPES, ...OTHER_TYPES, ...LIST_TYPES]);

// A parameter may not have these names; a trailing underscore makes them legal.
const RESERVED: ReadonlySet<string> = new Set(['default', 'function', 'in', 'new', 'return', 'var', 'with']);

/** `log_softmax` -> `logSoftmax`; leading and trailing underscores stay. */
export function camelCase(name: string): string {
  return name.replace(/(?<=[^_])_+([a-zA-Z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** The type without its question mark. */
export function plainType(type: string): string {
  return type.endsWith('?') ? type.slice(0, -1) : type;
}

/** `aten::add.Tensor`, `aten::relu`. */
export function fullName(schema: { name: string; overload: string }): string {
  return schema.overload === '' ? schema.name : `${schema.name}.${schema.overload}`;
}

function isCallable(schema: OperatorSchema): boolean {
  const isOut = schema.arguments.some(({ kwargOnly, alias }) => kwargOnly && alias === 'write');
  const types = [...schema.arguments, ...schema.returns].map(({ type }) => plainType(type));
  return !isOut && types.every((type) => KNOWN_TYPES.has(type));
}

/** Notes which entries of the overrides had an effect, so that the others can be refused. */
class OverrideLookup {
  readonly #overrides: Overrides;
  readonly #used = new Set<string>();

  constructor(overrides: Overrides) {
    this.#overrides = overrides;
  }

  find<K extends keyof Overrides>(section: K, ...keys: readonly string[]): Overrides[K][string] | undefined {
    const entries = this.#overrides[section] as Readonly<Record<string, Overrides[K][string]>>;
    const key = keys.find((candidate) => Object.hasOwn(entries, candidate));
    if (key === undefined) return undefined;
    this.#used.add(`${section}: ${key}`);
    return entries[key];
  }

  unused(): string[] {
    const all = Object.entries(this.#overrides).flatMap(([section, entries]) =>
      Object.keys(entries).map((key) => `${section}: ${key}`),
    );
    return all.filter((entry) => !this.#used.has(entry));
  }
}

function parseAllowList(text: string): { name: string; overload: string | undefined }[] {
  const lines = text.split('\n').map((line) => line.trim());
  const wanted = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (new Set(wanted).size !== wanted.length) throw new Error('operators.txt: a line is there twice');
  return wanted.map((line) => {
    const match = /^(\w+::\w+)(?:\.(\w+))?$/.exec(line);
    if (match === null)
      throw new Error(`operators.txt: '${line}' is not namespace::name or namespace::name.overload`);
    return { name: match[1] as string, overload: match[2] };
  });
}

function toArgument(argument: SchemaArgument, schema: OperatorSchema, overrides: OverrideLookup): Argument {
  const jsName = camelCase(argument.name);
  const words = overrides.find('words', `${schema.name}.${argument.name}`, argument.name);
  const fits = plainType(argument.type) === (Array.isArray(words?.values) ? 'str' : 'int');
  return {
    ...argument,
    jsName: RESERVED.has(jsName) ? `${jsName}_` : jsName,
    words: fits ? words : undefined,
    bounded: overrides.find('bounded', fullName(schema))?.arguments.includes(argument.name) ?? false,
  };
}

function toOverload(schema: OperatorSchema, overrides: OverrideLookup): Overload {
  const id = fullName(schema);
  const fixed = overrides.find('fixed', id)?.values ?? {};
  const keywordNames = overrides.find('keywordOnly', id)?.arguments ?? [];
  const hidden = new Map(Object.entries(fixed).map(([name, value]) => [name, String(value)]));
  const has = (name: string): boolean => schema.arguments.some((a) => a.kwargOnly && a.name === name);
  const isFactory = has('dtype') && has('device') && has('pin_memory');
  if (isFactory) for (const name of ['layout', 'pin_memory']) hidden.set(name, 'undefined');
  const visible = schema.arguments
    .filter(({ name }) => !hidden.has(name))
    .map((argument) => toArgument(argument, schema, overrides));
  const isKeyword = (argument: Argument): boolean =>
    argument.kwargOnly || keywordNames.includes(argument.name);
  return {
    name: schema.name,
    overload: schema.overload,
    schema,
    positional: visible.filter((argument) => !isKeyword(argument)),
    keywords: visible.filter(isKeyword),
    hidden,
    isFactory,
    isQueued: overrides.find('queued', id) !== undefined,
    nullable: overrides.find('nullable', id)?.results ?? [],
    resultNames: overrides.find('results', id)?.names ?? schema.returns.map(({ name }) => name),
  };
}

/**
 * The functions of the allow-list, sorted by name.
 * @throws Error naming a line or an override that fits no operator
 */
export function selectFamilies(
  schemas: readonly OperatorSchema[],
  allowList: string,
  overrides: Overrides,
): Family[] {
  const lookup = new OverrideLookup(overrides);
  const selected = new Map<string, OperatorSchema[]>();
  for (const { name, overload } of parseAllowList(allowList)) {
    const matching = schemas.filter(
      (schema) =>
        schema.name === name &&
        (overload === undefined ? isCallable(schema) : schema.overload === overload.replace(/^default$/, '')),
    );
    const line = overload === undefined ? name : `${name}.${overload}`;
    if (matching.length === 0) throw new Error(`operators.txt: libtorch has no operator '${line}'`);
    if (!matching.every(isCallable))
      throw new Error(`operators.txt: '${line}' cannot be called from JavaScript`);
    selected.set(name, [...(selected.get(name) ?? []), ...matching]);
  }
  const families = [...selected].map(([name, members]): Family => {
    const functionName = camelCase(name.slice(name.indexOf('::') + 2));
    const names = lookup.find('names', name) ?? { function: functionName, method: functionName };
    const overloads = members.map((schema) => toOverload(schema, lookup));
    const fallback = lookup.find('fallback', name)?.overload;
    return { name, functionName: names.function, methodName: names.method, overloads, fallback };
  });
  const unused = lookup.unused();
  if (unused.length > 0) throw new Error(`operators.overrides.json: nothing uses ${unused.join('; ')}`);
  const names = new Set(families.map(({ functionName }) => functionName));
  if (names.size !== families.length) throw new Error('operators.txt: two operators would have one name');
  return families.sort((a, b) => (a.functionName < b.functionName ? -1 : 1));
}
