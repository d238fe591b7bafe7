import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomPermutation } from '../../lib/data/random.js';

// Made with torch 2.13: manual_seed(seed); p = randperm(length); p[:10], p[-3:], (p * arange(length)).sum()
for (const [seed, length, first, last, sum] of [
  [1234, 1797, [213, 836, 328, 158, 1272, 377, 633, 1412, 101, 1578], [1202, 408, 1746], 1465684087],
  [7, 1000, [615, 284, 599, 580, 347, 92, 383, 891, 452, 41], [570, 477, 409], 251046965],
  [0, 5, [4, 0, 1, 3, 2], [1, 3, 2], 19],
  [4294967295, 3, [0, 1, 2], [0, 1, 2], 5],
] as const) {
  test(`randomPermutation(${length}, ${seed}) equals torch's randperm`, () => {
    const order = randomPermutation(length, seed);
    assert.deepEqual([...order.slice(0, 10)], first);
    assert.deepEqual([...order.slice(-3)], last);
    assert.equal(
      order.reduce((total, value, i) => total + value * i, 0),
      sum,
    );
  });
}

test('a permutation of nothing or one', () => {
  assert.deepEqual([...randomPermutation(0, 1)], []);
  assert.deepEqual([...randomPermutation(1, 1)], [0]);
});
