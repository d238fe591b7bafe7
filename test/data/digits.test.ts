import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { parseDigits } from '../../lib/data/digits.js';
import { Digits, datasets } from '../../lib/data/index.js';

const file = new URL('../../../data/digits.csv.gz', import.meta.url);

async function rows(): Promise<number[][]> {
  const text = gunzipSync(await readFile(file)).toString();
  return text
    .trim()
    .split('\n')
    .map((line) => line.split(',').map(Number));
}

test('the embedded file is the one whose origin is stated', async () => {
  const hash = createHash('sha256').update(await readFile(file));
  const stated = await readFile(new URL('README.md', file), 'utf8');
  assert.ok(stated.includes(hash.digest('hex')));
});

test('the shuffled split takes the samples in the fixed random order', async () => {
  const { name, train, test: held } = await new Digits().load();
  assert.equal(name, 'Digits');
  assert.deepEqual([train.length, held?.length], [1437, 360]);
  assert.deepEqual(train.shape, [8, 8, 1]);
  assert.equal(train.classes, 10);
  const all = await rows();
  for (const [i, sample] of [213, 836, 328].entries()) {
    const expected = all[sample]!;
    assert.deepEqual(
      [...train.x.subarray(64 * i, 64 * (i + 1))].map((value) => value * 16),
      expected.slice(0, 64),
    );
    assert.equal(train.y[i], expected[64]);
  }
  assert.equal(train.x.length, 1437 * 64);
  assert.equal(held?.y.length, 360);
  assert.ok(held?.y.every((label) => label >= 0 && label < 10));
});

test('the ordered split takes the samples as they come', async () => {
  const { train, test: held } = await new Digits({ split: 'ordered' }).load();
  const all = await rows();
  assert.deepEqual(
    [...train.y, ...held!.y],
    all.map((row) => row[64]),
  );
});

test('a file that is not of digits is told', () => {
  const row = `${'0,'.repeat(64)}5`;
  const form = 'expected 64 pixels from 0 to 16 and a class below 10 in row 2';
  for (const [text, message] of [
    [row, 'f: expected 2 rows, got 1'],
    [`${row}\n${row.replace('0', '17')}`, `f: ${form}, got "17"`],
    [`${row}\n${row.replace('0', '')}`, `f: ${form}, got ""`],
    [`${row}\n${row.replace('5', '10')}`, `f: ${form}, got "10"`],
    [`${row}\n${row.replace('0,', '')}`, `f: ${form}, got 64 values`],
    [`${row}\n${'1'.repeat(1000)}`, 'f: expected handwritten digits, got gzip data of too many bytes'],
  ] as const) {
    assert.throws(() => parseDigits(gzipSync(text), 'f', 2), { name: 'DataError', message });
  }
  assert.throws(() => parseDigits(Buffer.from(row), 'f', 1), {
    name: 'DataError',
    message: /^f: expected handwritten digits, got damaged gzip data/,
  });
  const { x, y } = parseDigits(gzipSync(`${row.replace('0', '4')}\n${row}\n`), 'f', 2);
  assert.deepEqual([x.length, x[0], x[1], [...y]], [128, 0.25, 0, [5, 5]]);
});

test('wrong options', () => {
  assert.throws(() => new Digits({ split: 'random' as never }), {
    message: 'split: expected one of "shuffled", "ordered", got "random"',
  });
  assert.ok(datasets.has('Digits') && datasets.has('MNIST') && datasets.has('FashionMNIST'));
});
