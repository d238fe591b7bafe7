/**
 * Calls the public operators of the allow-list with random arguments that their schemas allow, or nearly:
 * `node fuzz-calls.js SEED FROM TO FILE` makes the calls FROM to TO of a seed. FILE has the text of the current call, for
 * whoever finds the process dead. Prints `{ worked, refused, operators }`, the counts and the operators that worked.
 */
import { openSync, writeSync } from 'node:fs';
import * as spikenode from '../../lib/tensor/index.js';
import { isPublic, readInput } from '../../scripts/generate.js';
import { type Argument, type Family, plainType, selectFamilies } from '../../scripts/operator-schemas.js';
import { randomNumbers } from './helpers.js';

type Random = () => number;

/** An argument, and how the text of a call shows it. */
interface Value {
  readonly value: unknown;
  readonly text: string;
}

function pick<T>(list: readonly T[], random: Random): T {
  return list[Math.floor(random() * list.length)] as T;
}

const shapes: readonly (readonly number[])[] = [
  [],
  [0],
  [1],
  [3],
  [7],
  [1, 1],
  [2, 3],
  [3, 3],
  [0, 3],
  [3, 0, 2],
  [2, 3, 4],
  [2, 3, 5, 5],
  [2, 2, 4, 4],
  [3, 3, 2],
  [1, 3, 0, 4],
  [2, 2, 3, 4, 4],
  [1, 2, 1, 2, 1, 2],
];
const dtypes = ['float64', 'bfloat16', 'float16', 'int64', 'int32', 'uint8', 'int8', 'bool'] as const;
const layouts = ['contiguous', 'contiguous', 'transposed', 'sliced', 'expanded'] as const;
const small = [[1], [1, 2], [1, 2, 3], [0, 1], [-1, 0, 1], [-2, -1, 0, 1, 2, 3, 5]];
const hostile = [
  NaN,
  Infinity,
  -Infinity,
  1.5,
  1e300,
  2 ** 31,
  -(2 ** 31),
  2 ** 40,
  2 ** 53 - 1,
  1 - 2 ** 53,
];
const bigints = [2n ** 31n, 2n ** 62n, 2n ** 63n - 1n, -(2n ** 63n)];
const words = [
  '',
  'none',
  'float32',
  'cpu',
  'ij,jk->ik',
  'i...,i...',
  'reflect',
  'ATan',
  'Sigmoid',
  'x'.repeat(300),
  '\u0000',
];

/** What the tensors of one call have in common most of the time: else hardly a call would work. */
interface Likely {
  readonly shape: readonly number[];
  readonly dtype: spikenode.DType;
  /** Integers that most operators take. */
  readonly integers: readonly number[];
  /** How often a value is a hostile one: one wrong argument among good ones gets furthest. */
  readonly hostility: number;
  /** Of lists. */
  readonly length: number;
}

function elements(random: Random): number {
  if (random() < 0.03) return pick([NaN, Infinity, -Infinity, 1e30, -1e30], random);
  return random() < 0.5 ? Math.floor(random() * 8) - 2 : random() * 4 - 2;
}

function arranged(base: spikenode.Tensor, layout: (typeof layouts)[number]): spikenode.Tensor {
  const { ndim } = base;
  if (ndim === 0 || layout === 'contiguous') return base;
  if (layout === 'transposed')
    return base
      .transpose(0, ndim - 1)
      .contiguous()
      .transpose(0, ndim - 1);
  if (layout === 'sliced') return spikenode.cat([base, base], ndim - 1).slice(ndim - 1, 0, null, 2);
  return base.shape[0] === 0 ? base : base.narrow(0, 0, 1).expand([...base.shape]);
}

// Weights, states, targets and the like have some of the sizes of the first tensor.
function shapeFor({ shape }: Likely, random: Random): readonly number[] {
  const chance = random();
  if (chance < 0.65) return shape;
  if (chance > 0.85) return pick(shapes, random);
  const related = [shape.slice(1), shape.slice(0, -1), shape.slice(-1), shape.slice(0, 1), shape.slice(1, 2)];
  return pick(related, random);
}

function tensorValue(likely: Likely, random: Random): Value {
  const shape = shapeFor(likely, random);
  const dtype = random() < 0.8 ? likely.dtype : pick(dtypes, random);
  const layout = pick(layouts, random);
  const count = shape.reduce((product, size) => product * size, 1);
  const huge = random() < 0.03;
  const numbers = Float64Array.from({ length: count }, () => (huge ? 2 ** 62 : elements(random)));
  const value = arranged(spikenode.tensor(numbers, { shape, dtype }), layout);
  const isFloat = dtype.startsWith('float') || dtype === 'bfloat16';
  const requiresGrad = isFloat && random() < 0.3;
  if (requiresGrad) value.requiresGrad = true;
  const shown = [...numbers.subarray(0, 8)].map((x) => String(Math.round(x * 100) / 100));
  const text = `${dtype}[${shape}] ${layout}${requiresGrad ? ' grad' : ''} (${shown}${count > 8 ? ', ...' : ''})`;
  return { value, text };
}

function integer(likely: Likely, random: Random): number | bigint {
  if (random() >= likely.hostility) return pick(likely.integers, random);
  return random() < 0.6 ? pick(hostile, random) : pick(bigints, random);
}

function listOf(make: () => Value, likely: Likely, random: Random): Value {
  const length = random() < 0.8 ? likely.length : Math.floor(random() * 5);
  const items = Array.from({ length }, make);
  return { value: items.map(({ value }) => value), text: `[${items.map(({ text }) => text).join(', ')}]` };
}

function plain(value: unknown): Value {
  return { value, text: typeof value === 'string' ? JSON.stringify(value.slice(0, 20)) : String(value) };
}

function argumentFor(argument: Argument, likely: Likely, random: Random): Value {
  const type = plainType(argument.type);
  if (random() < likely.hostility / 8)
    return plain(pick([null, undefined, 'x', {}, [], true, -1, NaN], random));
  if (type !== argument.type && random() < 0.4) return plain(pick([null, undefined], random));
  if (argument.words !== undefined && random() < 0.9) {
    const { values } = argument.words;
    return plain(pick(Array.isArray(values) ? (values as string[]) : Object.keys(values), random));
  }
  const number = (): Value => plain(random() < 0.5 ? random() * 3 - 1 : integer(likely, random));
  switch (type) {
    case 'Tensor':
      return tensorValue(likely, random);
    case 'Tensor[]':
    case 'Tensor?[]':
      return listOf(() => tensorValue(likely, random), likely, random);
    case 'int':
    case 'SymInt':
      return plain(integer(likely, random));
    case 'int[]':
    case 'SymInt[]':
      return random() < 0.3 && argument.size > 0
        ? plain(integer(likely, random))
        : listOf(() => plain(integer(likely, random)), likely, random);
    case 'float':
    case 'Scalar':
      return number();
    case 'float[]':
    case 'Scalar[]':
      return listOf(number, likely, random);
    case 'bool':
      return plain(random() < 0.5);
    case 'bool[]':
      return listOf(() => plain(random() < 0.5), likely, random);
    case 'ScalarType':
      return plain(pick(['float32', ...dtypes, 'complex64'], random));
    case 'Device':
      return plain(pick(['cpu', 'cpu', 'cuda', 'meta', 'x'], random));
    case 'Layout':
      return plain(pick(['strided', 'strided', 'sparse_coo'], random));
    case 'MemoryFormat':
      return plain(
        pick(['contiguous_format', 'preserve_format', 'channels_last', 'channels_last_3d'], random),
      );
    case 'str':
      return plain(pick(words, random));
    default:
      return plain(undefined);
  }
}

/** The arguments of a call of some overload, options last. */
function argumentsOf(family: Family, random: Random): Value[] {
  const overload = pick(family.overloads, random);
  const shape = pick(shapes, random);
  const likely: Likely = {
    shape,
    dtype: random() < 0.6 ? 'float32' : pick(dtypes, random),
    integers: pick(small, random),
    hostility: pick([0, 0.05, 0.15, 0.4], random),
    length: random() < 0.5 ? Math.max(0, shape.length - 2) : Math.floor(random() * 4),
  };
  const isRequired = ({ hasDefault, type }: Argument): boolean => !hasDefault && !type.endsWith('?');
  const required = overload.positional.filter(isRequired).length;
  const most = random() < 0.4 ? required : overload.positional.length;
  const given = required + Math.floor(random() * (most - required + 1));
  const values = overload.positional.slice(0, given).map((argument) => argumentFor(argument, likely, random));
  const options = overload.keywords
    .filter((argument) => isRequired(argument) || random() < 0.3)
    .map((argument) => [argument.jsName, argumentFor(argument, likely, random)] as const);
  if (options.length === 0) return values;
  const text = `{ ${options.map(([name, value]) => `${name}: ${value.text}`).join(', ')} }`;
  return [...values, { value: Object.fromEntries(options.map(([name, { value }]) => [name, value])), text }];
}

function tensorsIn(value: unknown): spikenode.Tensor[] {
  if (spikenode.isTensor(value)) return [value];
  return Array.isArray(value) ? value.flatMap(tensorsIn) : [];
}

// Gradients of whatever came out, and a look at each value.
function use(result: unknown): void {
  for (const x of tensorsIn(result)) {
    // An expanded tensor may have any size.
    if (x.numel > 2 ** 16) continue;
    if ((x.device as string) !== 'meta') x.toString();
    if (x.requiresGrad && !x.isLeaf) x.sum().backward();
  }
}

function main(): void {
  const [seed = 0, from = 0, to = 0] = process.argv.slice(2, 5).map(Number);
  const file = openSync(process.argv[5] as string, 'w');
  const input = readInput();
  const families = selectFamilies(input.schemas, input.allowList, input.overrides).filter(isPublic);
  const functions = spikenode as unknown as Readonly<Record<string, (...args: unknown[]) => unknown>>;
  const operators = new Set<string>();
  let worked = 0;
  for (let index = from; index < to; index++) {
    const random = randomNumbers(seed * 1_000_003 + index * 7919);
    const family = families[index % families.length] as Family;
    spikenode.manualSeed(index);
    spikenode.tidy(() => {
      const values = argumentsOf(family, random);
      const text = `${index} ${family.functionName}(${values.map((value) => value.text).join(', ')})`;
      writeSync(file, Buffer.from(text.slice(0, 3990).padEnd(4000)), 0, 4000, 0);
      try {
        use(functions[family.functionName]?.(...values.map(({ value }) => value)));
        worked++;
        operators.add(family.functionName);
      } catch (error) {
        if (!(error instanceof Error)) throw new TypeError(`${text} threw ${String(error)}`);
        if (!('code' in error))
          throw new TypeError(`${text} threw an error without a code`, { cause: error });
      }
    });
  }
  console.log(JSON.stringify({ worked, refused: to - from - worked, operators: [...operators] }));
}

main();
