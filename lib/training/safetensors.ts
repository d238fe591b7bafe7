import { type FileHandle, open } from 'node:fs/promises';
import type { StateDict } from '../nn/index.js';
import { isTensor, noGrad, type Tensor, type TypedArray, tensor, tidy } from '../tensor/index.js';
import { argumentError } from '../tensor/operator.js';
import { replaceFile } from './durable.js';
import {
  headerLength,
  lengthBytes,
  parseHeader,
  type SafetensorsEntry,
  SafetensorsError,
  type SafetensorsHeader,
  type Storage,
  storages,
} from './safetensors-header.js';

/** Tensors by their names in a file. */
export type NamedTensors = StateDict | ReadonlyMap<string, Tensor>;

/**
 * Writes tensors to a file in the safetensors format; other programs see the old file or the whole new one.
 * @param metadata strings to go with them; PyTorch's programs look for `format`
 * @throws TypeError for a value that is no tensor, or of a dtype that the format does not have
 */
export async function saveSafetensors(
  file: string,
  tensors: NamedTensors,
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): Promise<void> {
  const { header, values } = layoutOf(tensors, metadata, 'saveSafetensors');
  await replaceFile(file, async (handle) => {
    await handle.writeFile(header);
    for (const { value, storage } of values) {
      using bits = bitsOf(value, storage);
      await handle.writeFile(bytesOf(await bits.toTypedArrayAsync()));
    }
  });
}

/**
 * The bytes of such a file.
 * @throws TypeError as `saveSafetensors`
 */
export function serializeSafetensors(
  tensors: NamedTensors,
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): Uint8Array {
  const { header, values, end } = layoutOf(tensors, metadata, 'serializeSafetensors');
  const bytes = new Uint8Array(header.length + end);
  bytes.set(header);
  let start = header.length;
  for (const { value, storage } of values) {
    using bits = bitsOf(value, storage);
    const own = bytesOf(bits.toTypedArray());
    bytes.set(own, start);
    start += own.length;
  }
  return bytes;
}

/**
 * Reads the tensors of a file in the safetensors format, in the order of their values. Every byte of the file is
 * accounted for before the first tensor is made.
 * @throws SafetensorsError for a file that breaks the format, or has a dtype that there is none for here
 */
export async function loadSafetensors(file: string): Promise<StateDict> {
  const handle = await open(file, 'r');
  const loaded: [string, Tensor][] = [];
  try {
    const { header, start } = await readHeader(handle, file);
    for (const entry of header.entries) {
      const values = arrayFor(entry);
      await readFully(handle, values, start + entry.begin, file);
      loaded.push([entry.name, tensorOf(entry, values)]);
    }
  } catch (error) {
    for (const [, made] of loaded) made.dispose();
    throw error;
  } finally {
    await handle.close();
  }
  return Object.fromEntries(loaded);
}

/**
 * `loadSafetensors` of bytes in memory, which are copied.
 * @param name for messages
 * @throws SafetensorsError as there; TypeError for what is no Uint8Array
 */
export function parseSafetensors(bytes: Uint8Array, name: string = 'bytes'): StateDict {
  if (!(bytes instanceof Uint8Array)) throw argumentError('parseSafetensors', 'bytes', 'a Uint8Array', bytes);
  const start = lengthBytes + headerLength(bytes, bytes.length, name);
  const data = bytes.subarray(start);
  const { entries } = parseHeader(bytes.subarray(lengthBytes, start), data.length, name);
  const loaded: [string, Tensor][] = [];
  try {
    for (const entry of entries) {
      const values = arrayFor(entry);
      bytesOf(values).set(data.subarray(entry.begin, entry.end));
      loaded.push([entry.name, tensorOf(entry, values)]);
    }
  } catch (error) {
    for (const [, made] of loaded) made.dispose();
    throw error;
  }
  return Object.fromEntries(loaded);
}

interface Layout {
  /** With its length in front. */
  readonly header: Uint8Array;
  readonly values: readonly { readonly value: Tensor; readonly storage: Storage }[];
  /** Bytes of all values. */
  readonly end: number;
}

function layoutOf(tensors: NamedTensors, metadata: Readonly<Record<string, string>>, caller: string): Layout {
  const given = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  const values = given.map(([name, value]) => ({ name, value, storage: storageOf(name, value, caller) }));
  // The widest first, so that each tensor is aligned to its elements.
  values.sort((a, b) => b.storage.bytes - a.storage.bytes);
  const header: [string, unknown][] = Object.keys(metadata).length > 0 ? [['__metadata__', metadata]] : [];
  let end = 0;
  for (const { name, value, storage } of values) {
    const begin = end;
    end += value.numel * storage.bytes;
    header.push([name, { dtype: storage.name, shape: [...value.shape], data_offsets: [begin, end] }]);
  }
  return { header: headerBytes(Object.fromEntries(header)), values, end };
}

function storageOf(name: string, value: unknown, caller: string): Storage {
  if (name === '__metadata__') throw argumentError(caller, 'tensors', 'names of tensors', name);
  if (!isTensor(value)) throw argumentError(caller, name, 'a Tensor', value);
  const storage = storages[value.dtype];
  if (storage) return storage;
  throw argumentError(caller, name, 'of a dtype that the format has', value.dtype);
}

function headerBytes(header: Readonly<Record<string, unknown>>): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const size = Math.ceil(text.length / lengthBytes) * lengthBytes;
  const bytes = new Uint8Array(lengthBytes + size).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(size), true);
  bytes.set(text, lengthBytes);
  return bytes;
}

// The values without gaps, in a dtype whose typed array has their bits. The caller's to dispose.
function bitsOf(value: Tensor, storage: Storage): Tensor {
  return tidy(() =>
    noGrad(() => {
      const dense = value.detach().contiguous();
      return storage.bits === 'int16' ? dense.view('int16') : dense;
    }),
  );
}

function arrayFor({ dtype, begin, end }: SafetensorsEntry): TypedArray {
  const { array, bytes } = storages[dtype] as Storage;
  return new array((end - begin) / bytes);
}

function bytesOf({ buffer, byteOffset, byteLength }: TypedArray): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function tensorOf({ dtype, shape }: SafetensorsEntry, values: TypedArray): Tensor {
  const { bits } = storages[dtype] as Storage;
  const made = tensor(values, { shape, dtype: bits });
  if (bits === dtype) return made;
  try {
    return dtype === 'bool' ? made.to('bool') : made.view(dtype);
  } finally {
    made.dispose();
  }
}

async function readHeader(
  handle: FileHandle,
  file: string,
): Promise<{ readonly header: SafetensorsHeader; readonly start: number }> {
  const { size } = await handle.stat();
  const prefix = new Uint8Array(Math.min(size, lengthBytes));
  await readFully(handle, prefix, 0, file);
  const bytes = new Uint8Array(headerLength(prefix, size, file));
  await readFully(handle, bytes, lengthBytes, file);
  const start = lengthBytes + bytes.length;
  return { header: parseHeader(bytes, size - start, file), start };
}

async function readFully(
  handle: FileHandle,
  into: TypedArray,
  position: number,
  file: string,
): Promise<void> {
  const bytes = bytesOf(into);
  let done = 0;
  while (done < bytes.length) {
    // One call reads less than 2 GiB.
    const length = Math.min(bytes.length - done, 2 ** 30);
    const { bytesRead } = await handle.read(bytes, done, length, position + done);
    if (bytesRead === 0) throw new SafetensorsError('truncated', `${file}: ended while it was read`);
    done += bytesRead;
  }
}
