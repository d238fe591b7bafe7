import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { SpikenodeError } from '../errors.js';
import type { StateDict } from '../nn/index.js';
import {
  type DType,
  isTensor,
  noGrad,
  Scope,
  type Tensor,
  type TypedArray,
  tensor,
} from '../tensor/index.js';
import { argumentError } from '../tensor/operator.js';

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

const lengthBytes = 8;
const largestHeader = 100_000_000;

interface Storage {
  readonly name: string;
  readonly bytes: number;
  /** The typed array of the values' bits. */
  readonly array: new (
    length: number,
  ) => TypedArray;
  /** The dtype of such an array. */
  readonly bits: DType;
}

const storages: Readonly<Partial<Record<DType, Storage>>> = {
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

/**
 * Writes tensors to a file in the safetensors format; other programs see the old file or the whole new one.
 * @param metadata strings to go with them; PyTorch's programs look for `format`
 * @throws TypeError for a value that is no tensor, or of a dtype that the format does not have
 */
export async function saveSafetensors(
  file: string,
  tensors: StateDict | ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): Promise<void> {
  const given = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  const values = given.map(([name, value]) => ({ name, value, storage: storageOf(name, value) }));
  // The widest first, so that each tensor is aligned to its elements.
  values.sort((a, b) => b.storage.bytes - a.storage.bytes);
  const header: [string, unknown][] = Object.keys(metadata).length > 0 ? [['__metadata__', metadata]] : [];
  let end = 0;
  for (const { name, value, storage } of values) {
    const begin = end;
    end += value.numel * storage.bytes;
    header.push([name, { dtype: storage.name, shape: [...value.shape], data_offsets: [begin, end] }]);
  }
  await replaceFile(file, async (handle) => {
    await handle.writeFile(headerBytes(Object.fromEntries(header)));
    for (const { value, storage } of values) await handle.writeFile(await bytesOf(value, storage));
  });
}

/**
 * Reads the tensors of a file in the safetensors format, in the order of their values. Every byte of the file is
 * accounted for before the first tensor is made.
 * @throws SafetensorsError for a file that breaks the format, or has a dtype that there is none for here
 */
export async function loadSafetensors(file: string): Promise<StateDict> {
  const handle = await open(file, 'r');
  const scope = new Scope();
  const loaded: [string, Tensor][] = [];
  try {
    const { header, start } = await readHeader(handle, file);
    for (const { name, dtype, shape, begin, end } of header.entries) {
      const { array, bits, bytes } = storages[dtype] as Storage;
      const values = new array((end - begin) / bytes);
      await readFully(handle, values, start + begin, file);
      const made = tensor(values, { shape, dtype: bits });
      loaded.push([name, made]);
      if (bits === dtype) continue;
      scope.add(made);
      loaded[loaded.length - 1] = [name, dtype === 'bool' ? made.to('bool') : made.view(dtype)];
    }
  } catch (error) {
    for (const [, made] of loaded) made.dispose();
    throw error;
  } finally {
    scope.dispose();
    await handle.close();
  }
  return Object.fromEntries(loaded);
}

/**
 * Checks a header against the format and the size of the data behind it.
 * @param bytes of the header alone
 * @param file for messages
 * @throws SafetensorsError
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number, file: string): SafetensorsHeader {
  const text = headerText(bytes, file);
  const { __metadata__: metadata = {}, ...rest } = jsonObject(text, file);
  const isText = isObject(metadata) && Object.values(metadata).every((value) => typeof value === 'string');
  if (!isText) throw new SafetensorsError('bad-metadata', `${file}: __metadata__ is not a table of strings`);
  const entries = Object.entries(rest).map(([name, value]) => entryOf(name, value, file));
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== covered) {
      const what = begin > covered ? 'a gap before' : 'an overlap with';
      throw new SafetensorsError('bad-offsets', `${file}: ${what} the values of '${name}' at ${begin}`);
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
  return { entries, metadata: metadata as Record<string, string> };
}

function storageOf(name: string, value: unknown): Storage {
  if (name === '__metadata__') throw argumentError('saveSafetensors', 'tensors', 'names of tensors', name);
  if (!isTensor(value)) throw argumentError('saveSafetensors', name, 'a Tensor', value);
  const storage = storages[value.dtype];
  if (storage) return storage;
  throw argumentError('saveSafetensors', name, 'of a dtype that the format has', value.dtype);
}

function headerBytes(header: Readonly<Record<string, unknown>>): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const size = Math.ceil(text.length / lengthBytes) * lengthBytes;
  const bytes = new Uint8Array(lengthBytes + size).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(size), true);
  bytes.set(text, lengthBytes);
  return bytes;
}

async function bytesOf(value: Tensor, storage: Storage): Promise<Uint8Array> {
  const scope = new Scope();
  try {
    const bits = scope.run(() =>
      noGrad(() => {
        const dense = value.detach().contiguous();
        return storage.bits === 'int16' ? dense.view('int16') : dense;
      }),
    );
    const { buffer, byteOffset, byteLength } = await bits.toTypedArrayAsync();
    return new Uint8Array(buffer, byteOffset, byteLength);
  } finally {
    scope.dispose();
  }
}

// A file beside it first, on the disk before it takes the name, so that a crash leaves one of the two.
async function replaceFile(file: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const temporary = `${file}.${randomUUID()}.tmp`;
  try {
    const handle = await open(temporary, 'wx');
    try {
      await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const folder = await open(dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function readHeader(
  handle: FileHandle,
  file: string,
): Promise<{ readonly header: SafetensorsHeader; readonly start: number }> {
  const { size } = await handle.stat();
  if (size < lengthBytes) throw new SafetensorsError('truncated', `${file}: only ${size} bytes`);
  const prefix = new Uint8Array(lengthBytes);
  await readFully(handle, prefix, 0, file);
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > BigInt(largestHeader)) {
    throw new SafetensorsError(
      'header-too-large',
      `${file}: a header of ${length} bytes, at most ${largestHeader}`,
    );
  }
  const start = lengthBytes + Number(length);
  if (start > size) {
    throw new SafetensorsError('truncated', `${file}: a header of ${length} bytes in a file of ${size}`);
  }
  const bytes = new Uint8Array(Number(length));
  await readFully(handle, bytes, lengthBytes, file);
  return { header: parseHeader(bytes, size - start, file), start };
}

async function readFully(
  handle: FileHandle,
  into: TypedArray,
  position: number,
  file: string,
): Promise<void> {
  const bytes = new Uint8Array(into.buffer, into.byteOffset, into.byteLength);
  let done = 0;
  while (done < bytes.length) {
    // One call reads less than 2 GiB.
    const length = Math.min(bytes.length - done, 2 ** 30);
    const { bytesRead } = await handle.read(bytes, done, length, position + done);
    if (bytesRead === 0) throw new SafetensorsError('truncated', `${file}: ended while it was read`);
    done += bytesRead;
  }
}

function headerText(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new SafetensorsError('header-not-json', `${file}: the header is not UTF-8`);
  }
}

function jsonObject(text: string, file: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new SafetensorsError(
      'header-not-json',
      `${file}: the header is not JSON: ${(error as Error).message}`,
    );
  }
  if (!text.startsWith('{') || !isObject(value)) {
    throw new SafetensorsError('header-not-json', `${file}: the header is not a JSON object`);
  }
  const repeated = repeatedKey(text);
  if (repeated !== undefined) {
    throw new SafetensorsError('duplicate-key', `${file}: the header has '${repeated}' twice`);
  }
  return value;
}

// The first key that an object of the (valid) JSON text has twice; the parser takes the last one silently.
function repeatedKey(text: string): string | undefined {
  const objects: Set<string>[] = [];
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '{') objects.push(new Set());
    else if (character === '}') objects.pop();
    if (character !== '"') continue;
    const start = i;
    for (i++; text[i] !== '"'; i++) if (text[i] === '\\') i++;
    let next = i + 1;
    while (' \t\r\n'.includes(text[next] ?? '-')) next++;
    if (text[next] !== ':') continue;
    const key = JSON.parse(text.slice(start, i + 1)) as string;
    const keys = objects.at(-1);
    if (keys?.has(key)) return key;
    keys?.add(key);
  }
  return undefined;
}

function entryOf(name: string, value: unknown, file: string): SafetensorsEntry {
  const bad = (what: string): SafetensorsError =>
    new SafetensorsError('bad-entry', `${file}: '${name}' ${what}`);
  if (!isObject(value)) throw bad('is not an object');
  const { dtype: kind, shape, data_offsets: offsets, ...rest } = value;
  const [extra] = Object.keys(rest);
  if (extra !== undefined) throw bad(`has the unknown key '${extra}'`);
  if (typeof kind !== 'string') throw bad('has no dtype');
  if (!isSizes(shape)) throw bad('has no shape of integers >= 0');
  if (!isSizes(offsets) || offsets.length !== 2) throw bad('has no data_offsets [begin, end]');
  const dtype = dtypes.get(kind);
  if (dtype === undefined) {
    const known = [...dtypes.keys()].join(', ');
    throw new SafetensorsError(
      'unknown-dtype',
      `${file}: '${name}' has the dtype ${kind}, not one of ${known}`,
    );
  }
  const [begin, end] = offsets as [number, number];
  const size = shape.reduce((product, length) => product * length, (storages[dtype] as Storage).bytes);
  if (size !== end - begin || !Number.isSafeInteger(size)) {
    throw new SafetensorsError('wrong-size', `${file}: '${name}' needs ${size} bytes, has ${end - begin}`);
  }
  return { name, dtype, shape, begin, end };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
