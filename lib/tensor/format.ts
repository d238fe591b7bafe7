import type { Shape, TypedArray } from './types.js';

/** What is printed of a tensor. */
export interface Printable {
  readonly dtype: string;
  readonly shape: Shape;
  /** Values in row-major order; null where they are not at hand (meta and complex tensors). */
  readonly values: TypedArray | null;
  readonly device: string;
  readonly requiresGrad: boolean;
  /** Name of the function that made it, `AddBackward0`. */
  readonly gradFn: string | null;
}

// The defaults of torch.set_printoptions.
const PRECISION = 4;
const THRESHOLD = 1000;
const EDGE_ITEMS = 3;
const LINE_WIDTH = 80;

const PREFIX = 'tensor(';
const FLOATS: ReadonlySet<string> = new Set(['float32', 'float64', 'float16', 'bfloat16']);
// Their values show what they are, so PyTorch leaves the name out.
const UNNAMED_DTYPES: ReadonlySet<string> = new Set(['float32', 'complex64', 'int64', 'bool']);

/** The text that Python's `repr` gives for the same tensor. */
export function formatTensor(tensor: Printable): string {
  const { dtype, shape, values, device, requiresGrad, gradFn } = tensor;
  const suffixes = device === 'cpu' ? [] : [`device='${device}'`];
  const isEmpty = shape.includes(0);
  const hasElements = values !== null && !isEmpty;
  if (values === null || (isEmpty && shape.length !== 1)) suffixes.push(`size=${tuple(shape)}`);
  if (hasElements ? !UNNAMED_DTYPES.has(dtype) : dtype !== 'float32') suffixes.push(`dtype=torch.${dtype}`);
  if (gradFn !== null) suffixes.push(`grad_fn=<${gradFn}>`);
  else if (requiresGrad) suffixes.push('requires_grad=True');
  const empty = values === null ? '...' : '[]';
  return withSuffixes(PREFIX + (hasElements ? nestedText(values, dtype, shape) : empty), suffixes);
}

/** A Python tuple. */
function tuple(shape: Shape): string {
  return shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
}

function withSuffixes(text: string, suffixes: readonly string[]): string {
  let result = text;
  let lineLength = text.length - text.lastIndexOf('\n') + 1;
  for (const suffix of suffixes) {
    if (lineLength + suffix.length + 2 > LINE_WIDTH) {
      result += `,\n${' '.repeat(PREFIX.length)}${suffix}`;
      lineLength = PREFIX.length + suffix.length;
    } else {
      result += `, ${suffix}`;
      lineLength += suffix.length + 2;
    }
  }
  return `${result})`;
}

function nestedText(values: TypedArray, dtype: string, shape: Shape): string {
  const isSummary = values.length > THRESHOLD;
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  const offsetsAlong = (axis: number): number[] =>
    visibleIndices(shape[axis] as number, isSummary).map((index) => index * (strides[axis] as number));
  const shown = shape.reduce<number[]>(
    (offsets, _, axis) => offsets.flatMap((offset) => offsetsAlong(axis).map((step) => offset + step)),
    [0],
  );
  const format = formatOf(
    shown.map((offset) => values[offset] as number | bigint),
    dtype,
  );
  const visit = (axis: number, offset: number): string => {
    if (axis === shape.length) return format.text(values[offset] as number | bigint);
    const rest = shape.length - axis;
    const indent = PREFIX.length + axis;
    const items = offsetsAlong(axis).map((step) => visit(axis + 1, offset + step));
    if (items.length < (shape[axis] as number)) items.splice(EDGE_ITEMS, 0, rest === 1 ? ' ...' : '...');
    if (rest === 1) return rowText(items, format.width, indent);
    return `[${items.join(`,${'\n'.repeat(rest - 1)}${' '.repeat(indent + 1)}`)}]`;
  };
  return visit(0, 0);
}

function visibleIndices(size: number, isSummary: boolean): number[] {
  const isWhole = !isSummary || size <= 2 * EDGE_ITEMS;
  return Array.from({ length: isWhole ? size : 2 * EDGE_ITEMS }, (_, i) =>
    isWhole || i < EDGE_ITEMS ? i : size - 2 * EDGE_ITEMS + i,
  );
}

/** One row, broken into lines of as many items as fit. */
function rowText(items: readonly string[], width: number, indent: number): string {
  const perLine = Math.max(1, Math.floor((LINE_WIDTH - indent) / (width + 2)));
  const lines: string[] = [];
  for (let i = 0; i < items.length; i += perLine) lines.push(items.slice(i, i + perLine).join(', '));
  return `[${lines.join(`,\n${' '.repeat(indent + 1)}`)}]`;
}

/** How all values of one tensor are written: one notation, one width. */
interface Format {
  readonly width: number;
  text(value: number | bigint): string;
}

function formatOf(values: readonly (number | bigint)[], dtype: string): Format {
  if (FLOATS.has(dtype)) return floatFormat(values as readonly number[]);
  const plain = dtype === 'bool' ? (value: number | bigint) => (value ? 'True' : 'False') : String;
  const width = Math.max(1, ...values.map((value) => plain(value).length));
  return { width, text: (value) => plain(value).padStart(width) };
}

function floatFormat(values: readonly number[]): Format {
  const finite = values.filter((value) => Number.isFinite(value) && value !== 0);
  const sizes = finite.map(Math.abs);
  const [smallest, largest] = [Math.min(...sizes), Math.max(...sizes)];
  const isScientific = finite.length > 0 && (largest / smallest > 1000 || largest > 1e8 || smallest < 1e-4);
  const isWhole = finite.every(Number.isInteger);
  const plain = (value: number): string => {
    if (Number.isNaN(value)) return 'nan';
    if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
    const sign = value < 0 || Object.is(value, -0) ? '-' : '';
    const size = Math.abs(value);
    if (isScientific) return sign + scientific(size);
    return sign + (isWhole ? `${size.toFixed(0)}.` : fixed(size));
  };
  const width = Math.max(1, ...finite.map((value) => plain(value).length));
  return { width, text: (value) => plain(value as number).padStart(width) };
}

/** As C's %.4f. */
function fixed(value: number): string {
  return halfToEven(value.toFixed(PRECISION), value.toFixed(EXACT));
}

/** As C's %.4e, with two digits of exponent at least. */
function scientific(value: number): string {
  const [mantissa, exponent] = value.toExponential(PRECISION).split('e') as [string, string];
  const [exact, exactExponent] = value.toExponential(EXACT).split('e') as [string, string];
  const rounded = exponent === exactExponent ? halfToEven(mantissa, exact) : mantissa;
  return `${rounded}e${exponent[0]}${exponent.slice(1).padStart(2, '0')}`;
}

// Digits after which no double near a tie has anything but zeros.
const EXACT = 60;

/** JavaScript rounds a tie up, C to the even digit. */
function halfToEven(rounded: string, exact: string): string {
  const tie = /^(\d+\.\d{4})50*$/.exec(exact);
  const lower = tie?.[1] ?? '';
  return /[02468]$/.test(lower) ? lower : rounded;
}
