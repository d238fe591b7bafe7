import type { SpikenodeError } from '../errors.js';
import { shown } from '../parameters.js';
import type { DType, TypedArray } from '../tensor/index.js';

// The format: 8 bytes with the length of the header (little-endian), the header, the values of all tensors without
// gaps. The header is a JSON object in UTF-8, padded with spaces, of name -> { dtype, shape, data_offsets: [begin,
// end] }, offsets from the header's end; `__metadata__` may hold strings by name.

/** What is wrong with a file. */
export type SafetensorsFault =
  | 'truncated'
  | 'header-too-large'
  | 'header-not-json'
  | 'duplicate-key'
  | 'bad-metadata'
  | 'bad-entry'
  | 'unknown-dtype'
  | 'wrong-size'
  | 'bad-offsets';

/** A weights file that breaks the format. */
export class SafetensorsError extends Error implements SpikenodeError {
  override readonly name: string = 'SafetensorsError';
  readonly code: string = 'ERR_SPIKENODE_SAFETENSORS';
  /** Stable, as `code` is. */
  readonly fault: SafetensorsFault;

  constructor(fault: SafetensorsFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

/** One tensor of a file: where its values are, counted from the end of the header. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** What a header says. */
export interface SafetensorsHeader {
  readonly entries: readonly SafetensorsEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** How the values of a dtype are stored. */
export interface Storage {
  readonly name: string;
  readonly bytes: number;
  /** The typed array of the values' bits. */
  readonly array: new (
    length: number,
  ) => TypedArray;
  /** The dtype of such an array. */
  readonly bits: DType;
}

/** The dtypes that the format has. */
export const storages: Readonly<Partial<Record<DType, Storage>>> = {
  float64: { name: 'F64', bytes: 8, array: Float64Array, bits: 'float64' },
  float32: { name: 'F32', bytes: 4, array: Float32Array, bits: 'float32' },
  float16: { name: 'F16', bytes: 2, array: Int16Array, bits: 'int16' },
  bfloat16: { name: 'BF16', bytes: 2, array: Int16Array, bits: 'int16' },
  int64: { name: 'I64', bytes: 8, array: BigInt64Array, bits: 'int64' },
  int32: { name: 'I32', bytes: 4, array: Int32Array, bits: 'int32' },
  int16: { name: 'I16', bytes: 2, array: Int16Array, bits: 'int16' },
  int8: { name: 'I8', bytes: 1, array: Int8Array, bits: 'int8' },
  uint8: { name: 'U8', bytes: 1, array: Uint8Array, bits: 'uint8' },
  bool: { name: 'BOOL', bytes: 1, array: Uint8Array, bits: 'uint8' },
};

const dtypes: ReadonlyMap<string, DType> = new Map(
  Object.entries(storages).map(([dtype, { name }]) => [name, dtype as DType]),
);

/** Bytes of the length in front of the header. */
export const lengthBytes = 8;
const largestHeader = 100_000_000;
// What a tensor can have.
const largestRank = 64;

/**
 * The length of the header.
 * @param prefix the first `lengthBytes` bytes of the file
 * @param size of the whole file
 * @param file for messages
 * @throws SafetensorsError if the file cannot hold it
 */
export function headerLength(prefix: Uint8Array, size: number, file: string): number {
  if (size < lengthBytes) throw new SafetensorsError('truncated', `${file}: only ${size} bytes`);
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  if (length > BigInt(largestHeader)) {
    throw new SafetensorsError(
      'header-too-large',
      `${file}: a header of ${length} bytes, at most ${largestHeader}`,
    );
  }
  if (lengthBytes + Number(length) > size) {
    throw new SafetensorsError('truncated', `${file}: a header of ${length} bytes in a file of ${size}`);
  }
  return Number(length);
}

/**
 * Checks a header against the format and the size of the data behind it.
 * @param bytes of the header alone
 * @param file for messages
 * @throws SafetensorsError
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number, file: string): SafetensorsHeader {
  const { entries, metadata } = new HeaderReader(headerText(bytes, file), file).read();
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== covered) {
      const what = begin > covered ? 'a gap before' : 'an overlap with';
      throw new SafetensorsError('bad-offsets', `${file}: ${what} the values of ${shown(name)} at ${begin}`);
    }
    covered = end;
  }
  if (covered !== dataBytes) {
    const fault = covered > dataBytes ? 'truncated' : 'bad-offsets';
    throw new SafetensorsError(
      fault,
      `${file}: the header describes ${covered} bytes, there are ${dataBytes}`,
    );
  }
  return { entries, metadata };
}

function headerText(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new SafetensorsError('header-not-json', `${file}: the header is not UTF-8`);
  }
}

type Failure = (what: string) => SafetensorsError;

// Reads the JSON that the format allows and stops at the first thing that it does not. A general parser would take the
// last of two equal keys silently, and build gigabytes from 100 MB of brackets.
class HeaderReader {
  readonly #text: string;
  readonly #file: string;
  #at = 0;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  read(): { readonly entries: SafetensorsEntry[]; readonly metadata: Readonly<Record<string, string>> } {
    if (!this.#text.startsWith('{')) throw this.#error('header-not-json', 'the header is not a JSON object');
    const entries: SafetensorsEntry[] = [];
    let metadata: Readonly<Record<string, string>> = {};
    this.#object((name) => {
      if (name === '__metadata__') metadata = this.#metadata();
      else entries.push(this.#entry(name));
    });
    if (this.#peek() !== '') throw this.#notJson();
    return { entries, metadata };
  }

  #metadata(): Readonly<Record<string, string>> {
    const bad: Failure = () => this.#error('bad-metadata', '__metadata__ is not a table of strings');
    const strings: [string, string][] = [];
    this.#require('{', bad, '');
    this.#object((key) => {
      this.#require('"', bad, '');
      strings.push([key, this.#string()]);
    });
    return Object.fromEntries(strings);
  }

  #entry(name: string): SafetensorsEntry {
    const bad: Failure = (what) => this.#error('bad-entry', `${shown(name)} ${what}`);
    let kind: string | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    this.#require('{', bad, 'is not an object');
    this.#object((key) => {
      if (key === 'dtype') {
        this.#require('"', bad, 'has no dtype');
        kind = this.#string();
      } else if (key === 'shape') {
        shape = this.#integers(largestRank, bad, `has no shape of at most ${largestRank} integers >= 0`);
      } else if (key === 'data_offsets') {
        offsets = this.#integers(2, bad, 'has no data_offsets [begin, end]');
      } else throw bad(`has the unknown key ${shown(key)}`);
    });
    if (kind === undefined) throw bad('has no dtype');
    if (shape === undefined) throw bad('has no shape');
    if (offsets?.length !== 2) throw bad('has no data_offsets [begin, end]');
    const dtype = dtypes.get(kind);
    if (dtype === undefined) {
      const known = [...dtypes.keys()].join(', ');
      throw this.#error('unknown-dtype', `${shown(name)} has the dtype ${shown(kind)}, not one of ${known}`);
    }
    const [begin, end] = offsets as [number, number];
    this.#checkSize(name, dtype, shape, end - begin);
    return { name, dtype, shape, begin, end };
  }

  #checkSize(name: string, dtype: DType, shape: readonly number[], bytes: number): void {
    const { bytes: each } = storages[dtype] as Storage;
    const size = shape.reduce((product, length) => product * length, each);
    // Strides are products of the sizes even where one of them is 0.
    const extent = shape.reduce((product, length) => product * Math.max(1, length), each);
    if (size === bytes && Number.isSafeInteger(extent)) return;
    throw this.#error('wrong-size', `${shown(name)} of shape [${shape}] needs ${size} bytes, has ${bytes}`);
  }

  // The members of an object; `each` reads the value.
  #object(each: (key: string) => void): void {
    this.#expect('{');
    if (this.#take('}')) return;
    const keys = new Set<string>();
    do {
      if (this.#peek() !== '"') throw this.#notJson();
      const key = this.#string();
      if (keys.has(key)) throw this.#error('duplicate-key', `the header has ${shown(key)} twice`);
      keys.add(key);
      this.#expect(':');
      each(key);
    } while (this.#take(','));
    this.#expect('}');
  }

  #integers(most: number, bad: Failure, what: string): number[] {
    const found: number[] = [];
    this.#require('[', bad, what);
    this.#expect('[');
    if (this.#take(']')) return found;
    do {
      this.#peek();
      const start = this.#at;
      while (isDigit(this.#text.charCodeAt(this.#at)) && this.#at - start < 17) this.#at += 1;
      const digits = this.#text.slice(start, this.#at);
      const value = Number(digits);
      if (!/^(0|[1-9]\d*)$/.test(digits) || !Number.isSafeInteger(value) || found.length === most) {
        throw bad(what);
      }
      found.push(value);
    } while (this.#take(','));
    // What follows may be a fraction or an exponent.
    if (!this.#take(']')) throw bad(what);
    return found;
  }

  #string(): string {
    const start = this.#at;
    let end = start + 1;
    for (; end < this.#text.length && this.#text[end] !== '"'; end++) if (this.#text[end] === '\\') end += 1;
    this.#at = end + 1;
    try {
      return JSON.parse(this.#text.slice(start, this.#at)) as string;
    } catch {
      throw this.#notJson();
    }
  }

  // The next character that is no space; '' at the end.
  #peek(): string {
    while (' \t\r\n'.includes(this.#text[this.#at] ?? '-')) this.#at += 1;
    return this.#text[this.#at] ?? '';
  }

  #take(character: string): boolean {
    const isThere = this.#peek() === character;
    if (isThere) this.#at += 1;
    return isThere;
  }

  #expect(character: string): void {
    if (!this.#take(character)) throw this.#notJson();
  }

  // A value that begins with `opening`; another kind of value is what `bad` says, anything else no JSON.
  #require(opening: string, bad: Failure, what: string): void {
    const next = this.#peek();
    if (next === opening) return;
    throw /^["{[\dtfn-]/.test(next) ? bad(what) : this.#notJson();
  }

  #notJson(): SafetensorsError {
    return this.#error('header-not-json', `the header is not JSON at character ${this.#at}`);
  }

  #error(fault: SafetensorsFault, what: string): SafetensorsError {
    return new SafetensorsError(fault, `${this.#file}: ${what}`);
  }
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}
