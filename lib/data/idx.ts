import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DataError, reasonOf } from './dataset.js';

/** The content of an IDX file. */
export interface Idx {
  /** Sizes as the header has them; the first is the number of samples. */
  readonly shape: readonly number[];
  /** Row-major. */
  readonly values: Uint8Array | Int8Array | Int16Array | Int32Array | Float32Array | Float64Array;
}

interface ElementType {
  readonly bytes: number;
  read(data: DataView, count: number): Idx['values'];
}

// Element types by their code; all are big-endian.
const elementTypes: ReadonlyMap<number, ElementType> = new Map([
  [0x08, { bytes: 1, read: (data, n) => new Uint8Array(data.buffer, data.byteOffset, n) }],
  [0x09, { bytes: 1, read: (data, n) => new Int8Array(data.buffer, data.byteOffset, n) }],
  [0x0b, { bytes: 2, read: (data, n) => Int16Array.from({ length: n }, (_, i) => data.getInt16(2 * i)) }],
  [0x0c, { bytes: 4, read: (data, n) => Int32Array.from({ length: n }, (_, i) => data.getInt32(4 * i)) }],
  [0x0d, { bytes: 4, read: (data, n) => Float32Array.from({ length: n }, (_, i) => data.getFloat32(4 * i)) }],
  [0x0e, { bytes: 8, read: (data, n) => Float64Array.from({ length: n }, (_, i) => data.getFloat64(8 * i)) }],
]);

// Deflate cannot do better than about this, so a header that promises more than it allows is false.
const largestCompression = 1040;
const maxDimensions = 8;

interface Header {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly count: number;
  readonly start: number;
  /** Size of the whole file. */
  readonly end: number;
}

/**
 * Reads an IDX file (the format of MNIST: two zero bytes, element type, number of dimensions, sizes, values), as it is
 * or compressed with gzip. No header makes it allocate more than the file really holds.
 * @throws DataError if the file is missing or not such a file
 */
export async function readIdx(file: string): Promise<Idx> {
  const { size } = await statOf(file);
  return readIdxFrom(createReadStream(file), size, file);
}

/**
 * `readIdx` of the bytes of a file, which must not be compressed. Values of one byte are a view of `bytes`.
 * @param name for messages
 * @throws DataError
 */
export function parseIdx(bytes: Uint8Array, name: string = 'bytes'): Idx {
  const header = headerOf(bytes, name);
  if (!header) throw new DataError(`${name}: expected an IDX header, got ${bytes.length} bytes`);
  const { type, shape, count, start, end } = header;
  if (bytes.length !== end) {
    throw new DataError(`${name}: expected ${end} bytes for shape [${shape}], got ${bytes.length}`);
  }
  return { shape, values: type.read(new DataView(bytes.buffer, bytes.byteOffset + start), count) };
}

async function statOf(file: string): Promise<{ size: number }> {
  try {
    const found = await stat(file);
    if (found.isFile()) return found;
  } catch (error) {
    throw new DataError(`${file}: expected an IDX file, got ${reasonOf(error)}`);
  }
  throw new DataError(`${file}: expected an IDX file, got something that is not a file`);
}

/**
 * `readIdx` of a stream, which is closed at the end. Nothing is read beyond what the header says.
 * @param chunks a Readable or any other source of bytes; not called a Readable, since the declarations of the package do
 *   without those of Node
 * @param size bytes of the stream
 * @param file its name, which says by `.gz` that it is compressed
 * @throws DataError
 */
export async function readIdxFrom(
  chunks: AsyncIterable<Uint8Array>,
  size: number,
  file: string,
): Promise<Idx> {
  const source = chunks instanceof Readable ? chunks : Readable.from(chunks);
  const compressed = file.endsWith('.gz');
  const limit = compressed ? size * largestCompression : size;
  const stream = compressed ? source.pipe(createGunzip()) : source;
  source.on('error', (error) => stream.destroy(error));
  const read: Buffer[] = [];
  let length = 0;
  let header: Header | null = null;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      read.push(chunk);
      length += chunk.length;
      header ??= headerOf(Buffer.concat(read, length), file);
      if (header && header.end > limit) {
        throw new DataError(
          `${file}: shape [${header.shape}] needs ${header.end} bytes, more than the file can hold`,
        );
      }
      if (header && length > header.end) {
        throw new DataError(`${file}: expected ${header.end} bytes for shape [${header.shape}], got more`);
      }
    }
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError(`${file}: expected an IDX file, got ${reasonOf(error)}`);
  } finally {
    // The end of what it flows into does not end it.
    source.destroy();
  }
  return parseIdx(joined(read, length), file);
}

// In memory of its own: a small Buffer is part of a pool, and the values will be a view.
function joined(chunks: readonly Buffer[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let start = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, start);
    start += chunk.length;
  }
  return bytes;
}

// Null while there are too few bytes to tell.
function headerOf(bytes: Uint8Array, file: string): Header | null {
  if (bytes.length < 4) return null;
  const type = elementTypes.get(bytes[2]!);
  if (bytes[0] !== 0 || bytes[1] !== 0 || !type) {
    const start = Buffer.from(bytes.subarray(0, 4)).toString('hex');
    throw new DataError(`${file}: expected an IDX file, got one that begins with ${start}`);
  }
  const dimensions = bytes[3]!;
  if (dimensions < 1 || dimensions > maxDimensions) {
    throw new DataError(`${file}: expected 1 to ${maxDimensions} dimensions, got ${dimensions}`);
  }
  const start = 4 + 4 * dimensions;
  if (bytes.length < start) return null;
  const data = new DataView(bytes.buffer, bytes.byteOffset, start);
  const shape = Array.from({ length: dimensions }, (_, i) => data.getUint32(4 + 4 * i));
  // A product of doubles may round, but not to the size of a file that there can be.
  const count = shape.reduce((product, size) => product * size, 1);
  const end = start + count * type.bytes;
  return { type, shape, count, start, end };
}
