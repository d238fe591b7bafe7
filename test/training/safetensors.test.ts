import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Linear } from '../../lib/nn/index.js';
import { memory, ones, type Tensor, tensor, zeros } from '../../lib/tensor/index.js';
import {
  loadSafetensors,
  parseSafetensors,
  SafetensorsError,
  saveSafetensors,
  serializeSafetensors,
} from '../../lib/training/index.js';
import { collectGarbage, randomNumbers } from '../tensor/helpers.js';

const folder = mkdtempSync(join(tmpdir(), 'spikenode-safetensors-'));
after(() => rmSync(folder, { recursive: true }));

let count = 0;

/** A file of these bytes: the header (its length in front of it), and the data. */
function written(header: string | Uint8Array, data: Uint8Array = new Uint8Array(), length?: bigint): string {
  const text = typeof header === 'string' ? Buffer.from(header) : header;
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(text.length));
  const file = join(folder, `written${count++}`);
  writeFileSync(file, Buffer.concat([prefix, text, data]));
  return file;
}

test('every dtype comes back with its values, shape and name', async () => {
  const random = randomNumbers(3);
  const numbers = Array.from({ length: 6 }, () => random() * 200 - 100);
  const given: Record<string, Tensor> = {};
  for (const dtype of [
    'bool',
    'float16',
    'int8',
    'float64',
    'bfloat16',
    'uint8',
    'int16',
    'float32',
  ] as const) {
    const values = dtype === 'uint8' ? numbers.map(Math.abs) : numbers;
    given[`layers.${dtype}`] = tensor(values, { shape: [2, 3] }).to(dtype);
  }
  given['int32'] = tensor(Int32Array.of(-(2 ** 31), 2 ** 31 - 1));
  given['int64'] = tensor([-(2n ** 63n), 2n ** 63n - 1n]);
  given['scalar'] = tensor(Math.PI);
  given['empty'] = zeros([0, 3]);
  given['odd "name"\n\u00e9\u{1f9e0}'] = ones([1]);
  const all = new Map([...Object.entries(given), ['__proto__', ones([1])], ['constructor', ones([1])]]);
  const file = join(folder, 'all');
  await saveSafetensors(file, all);
  const loaded = new Map(Object.entries(await loadSafetensors(file)));
  assert.deepEqual([...loaded.keys()].sort(), [...all.keys()].sort());
  for (const [name, value] of all) {
    const own = loaded.get(name) as Tensor;
    assert.deepEqual([own.dtype, own.shape], [value.dtype, value.shape], name);
    assert.deepEqual(own.toTypedArray(), value.toTypedArray(), name);
  }
});

test('the bytes are those of the format', async () => {
  const file = join(folder, 'bytes');
  const state = { half: tensor([1]).to('float16'), w: tensor([[1, -2]]) };
  await saveSafetensors(file, state);
  const header =
    '{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},' +
    '"half":{"dtype":"F16","shape":[1],"data_offsets":[8,10]}}';
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(padded.length));
  const data = Buffer.from('0000803f000000c0003c', 'hex');
  assert.deepEqual(readFileSync(file), Buffer.concat([prefix, Buffer.from(padded), data]));
  await saveSafetensors(file, new Map([['w', ones([1])]]), {});
  assert.equal(readFileSync(file).subarray(8).toString('latin1').includes('__metadata__'), false);
});

test('weights of a module go through a file, transposed and other layouts too', async () => {
  const [a, b] = [new Linear(3, 2), new Linear(3, 2)];
  const file = join(folder, 'linear');
  await saveSafetensors(file, a.stateDict());
  b.loadStateDict(await loadSafetensors(file));
  assert.deepEqual(b.weight.tolist(), a.weight.tolist());
  await saveSafetensors(file, { turned: a.weight.t(), one: ones([1]).expand([3]) });
  const { turned, one } = await loadSafetensors(file);
  assert.deepEqual(turned!.tolist(), a.weight.t().tolist());
  assert.deepEqual(one!.tolist(), [1, 1, 1]);
});

test('a file written by hand is read, whatever the order of its entries', async () => {
  const header =
    '{"b":{"data_offsets":[4,12],"shape":[2],"dtype":"I32"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   ';
  const data = Buffer.from('0000803f0100000002000000', 'hex');
  const loaded = await loadSafetensors(written(header, data));
  assert.deepEqual(Object.keys(loaded), ['a', 'b']);
  assert.deepEqual([loaded['a']!.item(), loaded['b']!.tolist()], [1, [1, 2]]);
  assert.deepEqual(await loadSafetensors(written('{}')), {});
});

const entry = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';
const four = new Uint8Array(4);

const hostile: readonly [name: string, fault: string, file: () => string][] = [
  ['an empty file', 'truncated', () => emptied(written('{}'), 0)],
  ['a file of seven bytes', 'truncated', () => emptied(written('{}'), 7)],
  ['a header longer than the file', 'truncated', () => written('{}', four, 7n)],
  ['a header of 2^64 - 1 bytes', 'header-too-large', () => written('{}', four, 2n ** 64n - 1n)],
  ['a header over 100 MB', 'header-too-large', () => written('{}', four, 100_000_001n)],
  ['no header', 'header-not-json', () => written('')],
  ['a header that is a list', 'header-not-json', () => written('[]')],
  ['a header that is null', 'header-not-json', () => written('null')],
  ['a header after a space', 'header-not-json', () => written(' {}')],
  ['a header that is no JSON', 'header-not-json', () => written(`{"a":${entry},}`, four)],
  ['a header after a byte-order mark', 'header-not-json', () => written('\ufeff{}')],
  ['a header that is not UTF-8', 'header-not-json', () => written(Buffer.from('7b22ff223a307d', 'hex'))],
  ['a name twice', 'duplicate-key', () => written(`{"a":${entry},"a":${entry}}`, four)],
  ['a name twice, once escaped', 'duplicate-key', () => written(`{"a":${entry},"\\u0061" :${entry}}`, four)],
  [
    'a key of an entry twice',
    'duplicate-key',
    () => written(`{"a":${entry.replace('}', ',"dtype":"I32"}')}}`, four),
  ],
  ['metadata twice', 'duplicate-key', () => written('{"__metadata__":{},"__metadata__":{}}')],
  ['metadata that is a list', 'bad-metadata', () => written('{"__metadata__":[]}')],
  ['metadata with a number', 'bad-metadata', () => written('{"__metadata__":{"epoch":3}}')],
  ['an entry that is a number', 'bad-entry', () => written('{"a":4}', four)],
  ['an entry that is null', 'bad-entry', () => written('{"a":null}', four)],
  ['no dtype', 'bad-entry', () => changed('dtype', undefined)],
  ['a dtype that is a number', 'bad-entry', () => changed('dtype', 3)],
  ['no shape', 'bad-entry', () => changed('shape', undefined)],
  ['a negative size', 'bad-entry', () => changed('shape', [-1])],
  ['a fraction as size', 'bad-entry', () => changed('shape', [0.5])],
  ['a size that is no safe integer', 'bad-entry', () => changed('shape', [2 ** 53])],
  ['a text as size', 'bad-entry', () => changed('shape', ['1'])],
  ['one offset', 'bad-entry', () => changed('data_offsets', [0])],
  ['three offsets', 'bad-entry', () => changed('data_offsets', [0, 4, 4])],
  ['a negative offset', 'bad-entry', () => changed('data_offsets', [-4, 0])],
  ['a key that the format does not have', 'bad-entry', () => changed('strides', [1])],
  ['a dtype that the format does not have', 'unknown-dtype', () => changed('dtype', 'F31')],
  ['a dtype that libtorch does not have', 'unknown-dtype', () => changed('dtype', '__proto__')],
  ['sizes and bytes that differ', 'wrong-size', () => changed('shape', [2])],
  ['an end before the begin', 'wrong-size', () => changed('data_offsets', [4, 0])],
  ['sizes that overflow', 'wrong-size', () => changed('shape', [2 ** 32, 2 ** 32])],
  ['sizes that overflow before a zero', 'wrong-size', () => changed('shape', [2 ** 52, 2 ** 52, 0])],
  [
    'sizes that overflow behind a zero',
    'wrong-size',
    () => written('{"a":{"dtype":"F32","shape":[0,4503599627370496,4503599627370496],"data_offsets":[0,0]}}'),
  ],
  ['65 dimensions', 'bad-entry', () => changed('shape', Array(65).fill(1))],
  ['a size with a leading zero', 'bad-entry', () => written(`{"a":${entry.replace('[1]', '[01]')}}`, four)],
  ['a size with a sign', 'bad-entry', () => written(`{"a":${entry.replace('[1]', '[-0]')}}`, four)],
  ['a size that is a float', 'bad-entry', () => written(`{"a":${entry.replace('[1]', '[1.0]')}}`, four)],
  ['a million brackets', 'bad-entry', () => written(`{"a":${'['.repeat(1e6)}${']'.repeat(1e6)}}`, four)],
  ['an unfinished text', 'header-not-json', () => written('{"a')],
  ['an unfinished escape', 'header-not-json', () => written('{"a\\')],
  ['a text with a line break', 'header-not-json', () => written('{"\n":1}')],
  ['more after the header', 'header-not-json', () => written('{} {}')],
  ['zero bytes after the header', 'header-not-json', () => written('{}\0\0')],
  ['a gap before the first tensor', 'bad-offsets', () => changed('data_offsets', [4, 8], 8)],
  ['bytes after the last tensor', 'bad-offsets', () => written(`{"a":${entry}}`, new Uint8Array(5))],
  ['two tensors on the same bytes', 'bad-offsets', () => written(`{"a":${entry},"b":${entry}}`, four)],
  ['offsets beyond the file', 'truncated', () => changed('shape', [1], 3)],
];

function emptied(file: string, size: number): string {
  writeFileSync(file, readFileSync(file).subarray(0, size));
  return file;
}

function changed(key: string, value: unknown, bytes: number = 4): string {
  return written(JSON.stringify({ a: { ...JSON.parse(entry), [key]: value } }), new Uint8Array(bytes));
}

for (const [name, fault, file] of hostile) {
  test(`hostile: ${name}`, async () => {
    await collectGarbage();
    const before = memory().tensors;
    const path = file();
    let message = '';
    await assert.rejects(loadSafetensors(path), (error: unknown) => {
      assert.ok(error instanceof SafetensorsError, String(error));
      assert.equal(error.fault, fault, error.message);
      assert.equal(error.code, 'ERR_SPIKENODE_SAFETENSORS');
      ({ message } = error);
      return true;
    });
    // Text of the file is shown in part only, and without what would steer a terminal.
    assert.ok(message.startsWith(`${path}: `) && message.length < path.length + 400 && !/\n/.test(message));
    assert.throws(() => parseSafetensors(readFileSync(path), path), { name: 'SafetensorsError', message });
    assert.equal(memory().tensors, before);
  });
}

test('bytes in memory are those of a file', async () => {
  const file = join(folder, 'memory');
  const state = { a: tensor([[1, 2]]).to('bfloat16'), b: tensor([true, false]), c: tensor(3n) };
  await saveSafetensors(file, state, { epoch: '3' });
  const bytes = serializeSafetensors(state, { epoch: '3' });
  assert.deepEqual(bytes, Uint8Array.from(readFileSync(file)));
  const loaded = parseSafetensors(bytes);
  bytes.fill(0);
  assert.deepEqual(
    Object.entries(loaded).map(([name, own]) => [name, own.dtype, own.tolist()]),
    [
      ['c', 'int64', 3],
      ['a', 'bfloat16', [[1, 2]]],
      ['b', 'bool', [true, false]],
    ],
  );
  assert.throws(() => parseSafetensors('x' as never), { name: 'TypeError', code: 'ERR_SPIKENODE_TYPE' });
  assert.throws(() => parseSafetensors(new Uint8Array(3)), { message: 'bytes: only 3 bytes' });
  assert.throws(() => serializeSafetensors({ a: 1 } as never), {
    message: "serializeSafetensors: argument 'a' must be a Tensor, got 1",
  });
});

test('the file that the hostile ones are made from is good', async () => {
  assert.deepEqual((await loadSafetensors(changed('shape', [1])))['a']!.tolist(), [0]);
});

test('a damaged file is an error of the format or a file of tensors, never anything else', async () => {
  const file = join(folder, 'damaged');
  await saveSafetensors(file, { a: ones([3]), b: tensor([true, false]) });
  const whole = readFileSync(file);
  const random = randomNumbers(5);
  let refused = 0;
  for (let i = 0; i < 300; i++) {
    const bytes = Buffer.from(whole);
    const place = Math.floor(random() * bytes.length);
    bytes[place] = Math.floor(random() * 256);
    writeFileSync(file, bytes);
    try {
      for (const value of Object.values(await loadSafetensors(file))) value.dispose();
    } catch (error) {
      assert.ok(error instanceof SafetensorsError, String(error));
      refused += 1;
    }
  }
  assert.ok(refused > 100, `${refused} were refused`);
});

test('a failed write leaves the old file and nothing else', async () => {
  const own = mkdtempSync(join(folder, 'atomic-'));
  const file = join(own, 'weights');
  await saveSafetensors(file, { a: ones([2]) });
  const before = readFileSync(file);
  const gone = ones([2]);
  gone.dispose();
  await assert.rejects(saveSafetensors(file, { a: gone }), { code: 'ERR_SPIKENODE_DISPOSED' });
  await assert.rejects(saveSafetensors(file, { a: 3 } as never), {
    name: 'TypeError',
    message: /'a' must be a/,
  });
  await assert.rejects(saveSafetensors(file, { __metadata__: ones([1]) }), { name: 'TypeError' });
  const replacing = { a: ones([2]), b: ones([2]) };
  const writing = saveSafetensors(file, replacing);
  replacing.b.dispose();
  await assert.rejects(writing, { code: 'ERR_SPIKENODE_DISPOSED' });
  assert.deepEqual(readFileSync(file), before);
  assert.deepEqual(readdirSync(own), ['weights']);
  await assert.rejects(saveSafetensors(join(own, 'no', 'weights'), {}), { code: 'ENOENT' });
  await assert.rejects(loadSafetensors(join(own, 'none')), { code: 'ENOENT' });
  assert.ok(statSync(file).size > 8);
});
