import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { DataError } from '../../lib/data/dataset.js';
import { parseDigits } from '../../lib/data/digits.js';
import { type Idx, parseIdx, readIdxFrom } from '../../lib/data/idx.js';
import { randomNumbers } from '../tensor/helpers.js';
import { damaged, fuzz, type Input, inputs, pick, type Random } from './mutate.js';

// Bytes of an element, by type.
const widths: Readonly<Record<number, number>> = { 8: 1, 9: 1, 11: 2, 12: 4, 13: 4, 14: 8 };
const hostileSizes = [0, 1, 2, 3, 255, 65535, 2 ** 16, 2 ** 24, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];

// A file whose header may have been changed in its parts, or whose bytes were damaged.
function idxFile(random: Random): Uint8Array {
  let type = pick(random, [8, 9, 11, 12, 13, 14]);
  const shape = Array.from({ length: 1 + Math.floor(random() * 4) }, () => Math.floor(random() * 4));
  const count = shape.reduce((product, size) => product * size, 1);
  let body: Uint8Array = Uint8Array.from({ length: count * widths[type]! }, () => Math.floor(random() * 256));
  let rank = shape.length;
  switch (Math.floor(random() * 8)) {
    case 0:
      type = pick(random, [0, 8, 10, 13, 14, 15, 255]);
      break;
    case 1:
      rank = pick(random, [0, 1, 2, 8, 9, 255]);
      break;
    case 2:
    case 3:
      shape[Math.floor(random() * shape.length)] = pick(random, hostileSizes);
      break;
    case 4:
      shape.push(...Array.from({ length: Math.floor(random() * 6) }, () => pick(random, hostileSizes)));
      rank = shape.length;
      break;
    case 5:
      body = damaged(random, body);
      break;
  }
  const header = Buffer.alloc(4 + 4 * shape.length);
  header[2] = type;
  header[3] = rank;
  for (const [i, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * i);
  const file = Uint8Array.from(Buffer.concat([header, body]));
  return random() < 0.3 ? damaged(random, file) : file;
}

// Written from the description of the format, apart from the reader.
function isIdx(bytes: Uint8Array): boolean {
  const [a, b, type, rank] = bytes;
  const width = widths[type ?? 0];
  if (a !== 0 || b !== 0 || width === undefined || !rank || rank > 8) return false;
  if (bytes.length < 4 + 4 * rank) return false;
  const data = Buffer.from(bytes);
  let size = BigInt(width);
  for (let i = 0; i < rank; i++) size *= BigInt(data.readUInt32BE(4 + 4 * i));
  return BigInt(bytes.length) === BigInt(4 + 4 * rank) + size;
}

function checkIdx({ shape, values }: Idx, bytes: Uint8Array): void {
  const data = new DataView(bytes.buffer, bytes.byteOffset);
  const start = 4 + 4 * shape.length;
  assert.equal(
    values.length,
    shape.reduce((product, size) => product * size, 1),
  );
  const read: Readonly<Record<number, (i: number) => number>> = {
    8: (i) => data.getUint8(start + i),
    9: (i) => data.getInt8(start + i),
    11: (i) => data.getInt16(start + 2 * i),
    12: (i) => data.getInt32(start + 4 * i),
    13: (i) => data.getFloat32(start + 4 * i),
    14: (i) => data.getFloat64(start + 8 * i),
  };
  for (let i = 0; i < values.length; i++) assert.ok(Object.is(values[i], read[bytes[2]!]!(i)));
}

test('damaged IDX files are DataErrors or read as they are', async () => {
  const random = randomNumbers(31);
  const make = (): Input => {
    const bytes = idxFile(random);
    return { bytes, valid: isIdx(bytes) };
  };
  const read = (bytes: Uint8Array): void => checkIdx(parseIdx(bytes), bytes);
  const count = inputs(0.32);
  const { accepted, refused } = await fuzz(count, make, read, DataError);
  assert.ok(accepted > count / 5 && refused > count / 5, `${accepted} accepted, ${refused} refused`);
});

test('damaged compressed IDX files are DataErrors or read as they are', async () => {
  const random = randomNumbers(32);
  const bomb = gzipSync(Buffer.concat([Buffer.from([0, 0, 8, 1, 0, 0, 0, 9]), Buffer.alloc(20_000_000)]));
  let plain: Uint8Array = new Uint8Array();
  const make = (i: number): Input => {
    if (i % 50 === 0) return { bytes: bomb, valid: false };
    plain = idxFile(random);
    const packed = gzipSync(plain);
    if (random() < 0.6) return { bytes: packed, valid: isIdx(plain) };
    return { bytes: damaged(random, packed) };
  };
  const read = async (bytes: Uint8Array): Promise<void> => {
    const middle = Math.floor(random() * bytes.length);
    const chunks = [bytes.subarray(0, middle), bytes.subarray(middle)].filter((chunk) => chunk.length > 0);
    const found = await readIdxFrom(Readable.from(chunks), bytes.length, 'fuzz.gz');
    checkIdx(found, plain);
  };
  const count = inputs(0.02);
  const { accepted, refused } = await fuzz(count, make, read, DataError);
  assert.ok(accepted > count / 10 && refused > count / 5, `${accepted} accepted, ${refused} refused`);
});

const rows = 3;
const hostileValues = [
  '17',
  '16',
  '10',
  '07',
  '-1',
  '1e1',
  '0x1',
  ' 1',
  '',
  '007',
  '1.5',
  'NaN',
  '\u00e9',
  '9',
];

function digitsText(random: Random): string {
  const lines = Array.from({ length: rows }, () => [
    ...Array.from({ length: 64 }, () => `${Math.floor(random() * 17)}`),
    `${Math.floor(random() * 10)}`,
  ]);
  const line = pick(random, lines);
  switch (Math.floor(random() * 6)) {
    case 0:
    case 1:
      line[Math.floor(random() * 65)] = pick(random, hostileValues);
      break;
    case 2:
      line.splice(Math.floor(random() * 65), Math.floor(random() * 3), ...(random() < 0.5 ? ['1'] : []));
      break;
    case 3:
      lines.splice(Math.floor(random() * 3), Math.floor(random() * 2), ...(random() < 0.5 ? [line] : []));
      break;
  }
  return lines.map((values) => values.join(',')).join(pick(random, ['\n', '\n', '\n', '\r\n']));
}

function isDigits(text: string): boolean {
  const lines = text.split('\n');
  return lines.length === rows && lines.every((line) => /^((0?\d|1[0-6]),){64}0?\d$/.test(line));
}

test('damaged digits are DataErrors or read as they are', async () => {
  const random = randomNumbers(33);
  const bomb = gzipSync(Buffer.alloc(20_000_000, '1'));
  let text = '';
  const make = (i: number): Input => {
    if (i % 50 === 0) return { bytes: bomb, valid: false };
    text = digitsText(random);
    const packed = gzipSync(Buffer.from(text, 'latin1'));
    return random() < 0.7 ? { bytes: packed, valid: isDigits(text) } : { bytes: damaged(random, packed) };
  };
  const read = (bytes: Uint8Array): void => {
    const { x, y } = parseDigits(bytes, 'digits', rows);
    const values = text.split('\n').map((line) => line.split(',').map(Number));
    assert.deepEqual(
      values,
      values.map((_, i) => [...x.subarray(64 * i, 64 * (i + 1))].map((value) => value * 16).concat(y[i]!)),
    );
  };
  const count = inputs(0.06);
  const { accepted, refused } = await fuzz(count, make, read, DataError);
  assert.ok(accepted > count / 10 && refused > count / 5, `${accepted} accepted, ${refused} refused`);
});
