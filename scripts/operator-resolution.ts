/** How a call finds its overload: tests on the arguments' kinds, tried in order. */
import { type Argument, type Family, fullName, type Overload, plainType } from './operator-schemas.js';

/** What `typeof` and its like tell apart. `absent` is `undefined` too. */
type Kind =
  | 'absent'
  | 'null'
  | 'number'
  | 'bigint'
  | 'boolean'
  | 'string'
  | 'tensor'
  | 'list'
  | 'generator'
  | 'options';

type Kinds = ReadonlySet<Kind>;

/** An overload, and the condition under which it is meant; the last one has none. */
export interface Choice {
  readonly overload: Overload;
  readonly condition: string | undefined;
}

const KINDS_OF_TYPE: Readonly<Record<string, readonly Kind[]>> = {
  Tensor: ['tensor'],
  Scalar: ['number', 'bigint', 'boolean'],
  int: ['number', 'bigint'],
  SymInt: ['number', 'bigint'],
  float: ['number'],
  bool: ['boolean'],
  Generator: ['generator'],
};

function kindsOf(argument: Argument): Kind[] {
  const type = plainType(argument.type);
  const kinds: Kind[] = argument.type.endsWith('?') ? ['null'] : [];
  if (argument.words !== undefined) return [...kinds, 'string'];
  if (!type.endsWith('[]')) return [...kinds, ...(KINDS_OF_TYPE[type] ?? (['string'] as const))];
  return argument.size > 0 ? [...kinds, 'list', 'number', 'bigint'] : [...kinds, 'list'];
}

/** Whether the options object must be given for this overload to be meant. */
function needsOptions(overload: Overload): boolean {
  return overload.keywords.some(({ hasDefault, type }) => !hasDefault && type !== 'Generator?');
}

/** Number of arguments that cannot be left out. */
export function requiredCount(overload: Overload): number {
  const first = overload.positional.findIndex(({ hasDefault }) => hasDefault);
  return first < 0 ? overload.positional.length : first;
}

/** What may stand at a position. The options object follows the last argument that is given. */
function kindsAt(overload: Overload, position: number): Kinds {
  const argument = overload.positional[position];
  const kinds = new Set<Kind>(argument === undefined ? [] : kindsOf(argument));
  if (position < requiredCount(overload)) return kinds;
  const takesOptions = overload.keywords.length > 0 && position <= overload.positional.length;
  if (takesOptions) kinds.add('options');
  if (!takesOptions || position < overload.positional.length || !needsOptions(overload)) kinds.add('absent');
  return kinds;
}

interface Test {
  readonly text: (value: string) => string;
  readonly negated: (value: string) => string;
  readonly kinds: Kinds;
}

const OBJECTS: readonly Kind[] = ['null', 'tensor', 'list', 'generator', 'options'];
const ALL: readonly Kind[] = ['absent', 'number', 'bigint', 'boolean', 'string', ...OBJECTS];

function compare(left: (value: string) => string, right: string, kinds: readonly Kind[]): Test {
  return {
    text: (value) => `${left(value)} === ${right}`,
    negated: (value) => `${left(value)} !== ${right}`,
    kinds: new Set(kinds),
  };
}

function predicate(text: (value: string) => string, kind: Kind): Test {
  return { text, negated: (value) => `!(${text(value)})`, kinds: new Set([kind]) };
}

const typeOf = (value: string): string => `typeof ${value}`;
const itself = (value: string): string => value;

// The cheap ones first.
const TESTS: readonly Test[] = [
  compare(itself, 'undefined', ['absent']),
  compare(typeOf, "'object'", OBJECTS),
  compare(typeOf, "'string'", ['string']),
  compare(typeOf, "'number'", ['number']),
  compare(typeOf, "'boolean'", ['boolean']),
  compare(typeOf, "'bigint'", ['bigint']),
  compare(itself, 'null', ['null']),
  predicate((value) => `${value} instanceof Tensor`, 'tensor'),
  predicate((value) => `Array.isArray(${value})`, 'list'),
  predicate((value) => `isOptions(${value})`, 'options'),
];

/** The shortest condition that is true for all of `yes` and false for all of `no`. */
function condition(value: string, yes: Kinds, no: Kinds): string {
  const fits = (kinds: Kinds): boolean =>
    [...yes].every((kind) => kinds.has(kind)) && ![...no].some((kind) => kinds.has(kind));
  const complement = (kinds: Kinds): Kinds => new Set(ALL.filter((kind) => !kinds.has(kind)));
  for (const test of TESTS) {
    if (fits(test.kinds)) return test.text(value);
    if (fits(complement(test.kinds))) return test.negated(value);
  }
  const union = (tests: readonly Test[]): Kinds => new Set(tests.flatMap(({ kinds }) => [...kinds]));
  let combinations: readonly (readonly Test[])[] = TESTS.map((test) => [test]);
  for (let size = 2; size <= 4; size++) {
    combinations = combinations.flatMap((tests) =>
      TESTS.slice(TESTS.indexOf(tests.at(-1) as Test) + 1).map((test) => [...tests, test]),
    );
    const found = combinations.find((tests) => fits(union(tests)));
    if (found !== undefined) return found.map((test) => test.text(value)).join(' || ');
  }
  throw new Error(`no test tells ${[...yes].join(', ')} from ${[...no].join(', ')}`);
}

function disjoint(a: Kinds, b: Kinds): boolean {
  return ![...a].some((kind) => b.has(kind));
}

/** True where some argument fits `overload` only and not the fallback. */
function exclusiveCondition(overload: Overload, fallback: Overload, names: readonly string[]): string {
  const parts = names.flatMap((name, position) => {
    const other = kindsAt(fallback, position);
    const own = [...kindsAt(overload, position)].filter((kind) => !other.has(kind));
    return own.length === 0 ? [] : [condition(name, new Set(own), other)];
  });
  if (parts.length === 0) throw new Error(`${fullName(overload)} can never be meant`);
  return parts.join(' || ');
}

/** Tests at as few positions as separate `overload` from all of `rest`. */
function separation(
  overload: Overload,
  rest: readonly Overload[],
  family: Family,
  names: readonly string[],
): string {
  const positions = names.map((_, position) => position);
  let open = rest;
  const parts: string[] = [];
  while (open.length > 0) {
    const separated = positions.map((position) =>
      open.filter((other) => disjoint(kindsAt(overload, position), kindsAt(other, position))),
    );
    const most = Math.max(...separated.map(({ length }) => length));
    if (most === 0) break;
    const best = separated.findIndex(({ length }) => length === most);
    const others = separated[best] as Overload[];
    const no = new Set(others.flatMap((other) => [...kindsAt(other, best)]));
    parts.push(condition(names[best] as string, kindsAt(overload, best), no));
    open = open.filter((other) => !others.includes(other));
  }
  for (const other of open) {
    if (other.overload !== family.fallback) {
      throw new Error(
        `${fullName(overload)} and ${fullName(other)} cannot be told apart by their arguments; ` +
          'take one off operators.txt or name the fallback in operators.overrides.json',
      );
    }
    parts.push(exclusiveCondition(overload, other, names));
  }
  if (parts.length === 1) return parts[0] as string;
  return parts.map((part) => (part.includes('||') ? `(${part})` : part)).join(' && ');
}

/** The order in which overloads are tried: tensors before numbers (the usual case), then the shorter one. */
export function inOrder(family: Family): Overload[] {
  const tensors = ({ positional }: Overload): number =>
    positional.filter(({ type }) => plainType(type) === 'Tensor').length;
  const isLast = ({ overload }: Overload): number => (overload === family.fallback ? 1 : 0);
  return [...family.overloads].sort(
    (a, b) =>
      isLast(a) - isLast(b) ||
      tensors(b) - tensors(a) ||
      a.positional.length - b.positional.length ||
      (a.overload < b.overload ? -1 : 1),
  );
}

/**
 * The overloads of a function in the order in which they are tried.
 * @param names the function's parameters by position @throws Error where two overloads take the same arguments
 */
export function resolveOverloads(family: Family, names: readonly string[]): Choice[] {
  const ordered = inOrder(family);
  return ordered.map((overload, index) => {
    const rest = ordered.slice(index + 1);
    const isLast = rest.length === 0;
    return { overload, condition: isLast ? undefined : separation(overload, rest, family, names) };
  });
}
