import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { DataError } from './dataset.js';

/** The content of an IDX file. */
export interface Idx {
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
  const compressed = file.endsWith('.gz');
  const limit = compressed ? size * largestCompression : size;
  const { bytes, header } = await content(file, compressed, limit);
  const { type, shape, count, start } = header;
  return { shape, values: type.read(new DataView(bytes.buffer, bytes.byteOffset + start), count) };
}

async function statOf(file: string): Promise<{ size: number }> {
  try {
    const found = await stat(file);
    if (found.isFile()) return found;
  } catch (error) {
    throw new DataError(`${file}: expected an IDX file, got ${reason(error)}`);
  }
  throw new DataError(`${file}: expected an IDX file, got something that is not a file`);
}

// The bytes of the file, exactly as many as its header says.
async function content(
  file: string,
  compressed: boolean,
  limit: number,
): Promise<{ bytes: Uint8Array; header: Header }> {
  const source = createReadStream(file);
  const stream = compressed ? source.pipe(createGunzip()) : source;
  source.on('error', (error) => stream.destroy(error));
  const chunks: Buffer[] = [];
  let length = 0;
  let header: Header | null = null;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      header ??= headerOf(Buffer.concat(chunks, length), file, limit);
      if (header && length > header.end) {
        throw new DataError(`${file}: expected ${header.end} bytes for shape [${header.shape}], got more`);
      }
    }
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError(`${file}: expected an IDX file, got ${reason(error)}`);
  }
  if (!header) throw new DataError(`${file}: expected an IDX header, got ${length} bytes`);
  if (length < header.end) {
    throw new DataError(`${file}: expected ${header.end} bytes for shape [${header.shape}], got ${length}`);
  }
  return { bytes: Buffer.concat(chunks, length), header };
}

// Null while there are too few bytes to tell.
function headerOf(bytes: Uint8Array, file: string, limit: number): Header | null {
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
  // A product of doubles may round, but not to something below the limit.
  const count = shape.reduce((product, size) => product * size, 1);
  const end = start + count * type.bytes;
  if (end > limit) {
    throw new DataError(`${file}: shape [${shape}] needs ${end} bytes, more than the file can hold`);
  }
  return { type, shape, count, start, end };
}

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'no such file';
  return code?.startsWith('Z_') ? `damaged gzip data (${message})` : message;
}
