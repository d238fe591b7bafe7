import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
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

test('wrong options', () => {
  assert.throws(() => new Digits({ split: 'random' as never }), {
    message: 'split: expected one of "shuffled", "ordered", got "random"',
  });
  assert.ok(datasets.has('Digits') && datasets.has('MNIST') && datasets.has('FashionMNIST'));
});
