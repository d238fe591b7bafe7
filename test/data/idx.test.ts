import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { DataError, FashionMNIST, MNIST, parseIdx, readIdx } from '../../lib/data/index.js';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spikenode-idx-'));
});
after(() => rm(folder, { recursive: true }));

function idx(type: number, shape: readonly number[], body: Uint8Array): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header[2] = type;
  header[3] = shape.length;
  for (const [i, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * i);
  return Buffer.concat([header, body]);
}

async function put(name: string, content: Uint8Array): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, content);
  return file;
}

test('every element type is read, big-endian', async () => {
  const float = Buffer.alloc(8);
  float.writeFloatBE(0.5, 0);
  float.writeFloatBE(-3, 4);
  const double = Buffer.alloc(16);
  double.writeDoubleBE(0.1, 0);
  double.writeDoubleBE(-1e300, 8);
  for (const [type, body, expected] of [
    [0x08, Buffer.from([1, 255]), Uint8Array.of(1, 255)],
    [0x09, Buffer.from([1, 255]), Int8Array.of(1, -1)],
    [0x0b, Buffer.from([1, 0, 255, 254]), Int16Array.of(256, -2)],
    [0x0c, Buffer.from([0, 1, 0, 0, 255, 255, 255, 255]), Int32Array.of(65536, -1)],
    [0x0d, float, Float32Array.of(0.5, -3)],
    [0x0e, double, Float64Array.of(0.1, -1e300)],
  ] as const) {
    for (const packed of [false, true]) {
      const content = idx(type, [2, 1], body);
      const file = await put(`type${type}${packed ? '.gz' : ''}`, packed ? gzipSync(content) : content);
      assert.deepEqual(await readIdx(file), { shape: [2, 1], values: expected });
    }
  }
});

test('hostile files are errors that name the file', async () => {
  const zeros = Buffer.alloc(10);
  const many = [65535, 65535, 65535];
  for (const [name, content, message] of [
    ['empty', Buffer.alloc(0), /expected an IDX header, got 0 bytes/],
    ['short', Buffer.from([0, 0, 8]), /expected an IDX header, got 3 bytes/],
    ['cut', idx(8, [3, 3], zeros).subarray(0, 9), /expected an IDX header, got 9 bytes/],
    ['magic', Buffer.from('PK\x03\x04 and more'), /begins with 504b0304/],
    ['type', idx(7, [10], zeros), /begins with 00000701/],
    ['rank0', idx(8, [], zeros), /expected 1 to 8 dimensions, got 0/],
    ['rank9', idx(8, [1, 1, 1, 1, 1, 1, 1, 1, 1], zeros), /expected 1 to 8 dimensions, got 9/],
    ['huge', idx(8, many, zeros), /more than the file can hold/],
    ['overflow', idx(14, [4294967295, 4294967295, 4294967295], zeros), /more than the file can hold/],
    ['less', idx(8, [11], zeros), /needs 19 bytes, more than the file can hold/],
    ['more', idx(8, [9], zeros), /expected 17 bytes for shape \[9\], got more/],
    ['huge.gz', gzipSync(idx(8, many, zeros)), /more than the file can hold/],
    ['less.gz', gzipSync(idx(8, [11], zeros)), /expected 19 bytes for shape \[11\], got 18/],
    ['more.gz', gzipSync(idx(8, [9], zeros)), /got more/],
    ['bomb.gz', gzipSync(idx(8, [9], Buffer.alloc(50_000_000))), /got more/],
    ['plain.gz', idx(8, [10], zeros), /damaged gzip data/],
    ['torn.gz', gzipSync(idx(8, [10], zeros)).subarray(0, 20), /damaged gzip data|expected an IDX header/],
  ] as const) {
    const file = await put(name, content);
    await assert.rejects(readIdx(file), (error: unknown) => {
      assert.ok(error instanceof DataError, `${name}: ${error}`);
      assert.ok(error.message.startsWith(`${file}: `), error.message);
      assert.match(error.message, message);
      assert.equal(error.code, 'ERR_SPIKENODE_DATA');
      return true;
    });
  }
  await assert.rejects(readIdx(join(folder, 'nowhere')), {
    message: /nowhere: expected an IDX file, got no such file/,
  });
  await assert.rejects(readIdx(folder), { message: /got something that is not a file/ });
});

test('a refused file is closed', { skip: process.platform !== 'linux' && 'needs /proc' }, async () => {
  const files = [
    await put('bomb-open.gz', gzipSync(idx(8, [9], Buffer.alloc(5_000_000)), { level: 0 })),
    await put('damaged-open.gz', Buffer.alloc(5_000_000, 7)),
    await put('long-open', idx(8, [9], Buffer.alloc(5_000_000))),
  ];
  const opened = async (): Promise<number> => (await readdir('/proc/self/fd')).length;
  await assert.rejects(readIdx(files[0]!));
  await new Promise(setImmediate);
  const before = await opened();
  for (let i = 0; i < 10; i++) for (const file of files) await assert.rejects(readIdx(file), DataError);
  // The descriptors are closed on threads of Node's.
  for (let i = 0; i < 100 && (await opened()) > before; i++) await new Promise((go) => setTimeout(go, 10));
  assert.ok((await opened()) <= before);
});

test('bytes in memory are read as a file', async () => {
  const bytes = idx(8, [2, 1], Buffer.from([3, 4]));
  const { values, shape } = parseIdx(bytes);
  assert.deepEqual([values, shape], [Uint8Array.of(3, 4), [2, 1]]);
  assert.throws(() => parseIdx(bytes.subarray(1)), {
    name: 'DataError',
    message: /^bytes: expected an IDX file/,
  });
  assert.throws(() => parseIdx(bytes.subarray(0, 13), 'own'), {
    message: 'own: expected 14 bytes for shape [2,1], got 13',
  });
  // The values of a file have memory of their own, not a part of Node's pool, which others write into.
  const read = await readIdx(await put('own', bytes));
  assert.equal(read.values.buffer.byteLength, bytes.length);
});

async function putFour(train: Buffer, trainLabels: Buffer, test: Buffer, testLabels: Buffer): Promise<void> {
  await put('train-images-idx3-ubyte', train);
  await put('train-labels-idx1-ubyte.gz', gzipSync(trainLabels));
  await put('t10k-images-idx3-ubyte.gz', gzipSync(test));
  await put('t10k-labels-idx1-ubyte', testLabels);
}

test('a folder in the form of MNIST', async () => {
  const images = idx(8, [2, 2, 3], Buffer.from([0, 51, 102, 153, 204, 255, 1, 2, 3, 4, 5, 6]));
  const one = idx(8, [1, 2, 3], Buffer.from([6, 5, 4, 3, 2, 1]));
  await putFour(images, idx(8, [2], Buffer.from([9, 0])), one, idx(8, [1], Buffer.from([3])));
  const { name, train, test: held } = await new FashionMNIST({ path: folder }).load();
  assert.equal(name, 'FashionMNIST');
  assert.deepEqual(train.shape, [2, 3, 1]);
  assert.deepEqual(train.y, Int32Array.of(9, 0));
  assert.ok(train.x instanceof Uint8Array);
  assert.deepEqual([...train.x.subarray(0, 6)], [0, 51, 102, 153, 204, 255]);
  assert.equal(train.scale, 255);
  assert.deepEqual([train.length, held?.length, train.classes], [2, 1, 10]);
});

test('folders that do not fit together', async () => {
  const image = idx(8, [1, 2, 2], Buffer.alloc(4));
  const label = idx(8, [1], Buffer.from([3]));
  const load = (): Promise<unknown> => new MNIST({ path: folder }).load();
  await putFour(image, idx(8, [2], Buffer.from([1, 2])), image, label);
  await assert.rejects(load(), { message: /expected as many images as labels, got 1 and 2/ });
  await putFour(image, idx(8, [1], Buffer.from([10])), image, label);
  await assert.rejects(load(), { message: /expected labels below 10, got 10 for image 0/ });
  await putFour(image, label, idx(8, [1, 1, 4], Buffer.alloc(4)), label);
  await assert.rejects(load(), { message: /expected images of one size, got \[2,2,1\] and \[1,4,1\]/ });
  await putFour(idx(8, [4], Buffer.alloc(4)), label, image, label);
  await assert.rejects(load(), { message: /expected bytes in 3 dimensions, got shape \[4\]/ });
  await putFour(idx(8, [0, 2, 2], Buffer.alloc(0)), idx(8, [0], Buffer.alloc(0)), image, label);
  await assert.rejects(load(), { message: /expected images, got none/ });
  await putFour(image, label, image, label);
  await load();
  await rm(join(folder, 't10k-labels-idx1-ubyte'));
  await assert.rejects(load(), {
    message: `${folder}: expected the file t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz, got neither`,
  });
  assert.throws(() => new MNIST({} as never), { message: 'path: expected a non-empty string, got nothing' });
});
