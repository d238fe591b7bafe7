import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flattenNested, nestFlat } from '../../lib/tensor/nested.js';

test('nested arrays give values, shape and dtype', () => {
  assert.deepEqual(
    flattenNested([
      [1, 2, 3],
      [4, 5, 6],
    ]),
    { values: [1, 2, 3, 4, 5, 6], shape: [2, 3], dtype: 'float32' },
  );
  assert.deepEqual(flattenNested([[[true]], [[false]]]), {
    values: [true, false],
    shape: [2, 1, 1],
    dtype: 'bool',
  });
  assert.deepEqual(flattenNested([1n, -2n]), { values: [1n, -2n], shape: [2], dtype: 'int64' });
  assert.deepEqual(flattenNested([Number.NaN, -0]).values, [Number.NaN, -0]);
});

test('bare values have no dimension, empty arrays keep theirs', () => {
  assert.deepEqual(flattenNested(3.5), { values: [3.5], shape: [], dtype: 'float32' });
  assert.deepEqual(flattenNested(true), { values: [true], shape: [], dtype: 'bool' });
  assert.deepEqual(flattenNested(1n), { values: [1n], shape: [], dtype: 'int64' });
  assert.deepEqual(flattenNested([]), { values: [], shape: [0], dtype: 'float32' });
  assert.deepEqual(flattenNested([[], []]).shape, [2, 0]);
  assert.deepEqual(flattenNested([[[]]]).shape, [1, 1, 0]);
});

test('the same array may stand at several places', () => {
  const row = [1, 2];
  assert.deepEqual(flattenNested([row, row]).values, [1, 2, 1, 2]);
});

test('ragged, cyclic and mixed nests are a TypeError that says where', () => {
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  const deepCycle: unknown[] = [1];
  deepCycle.push([deepCycle]);
  const cases: [unknown, RegExp][] = [
    [[[1], [1, 2]], /data\[1\] must have 1 elements, got 2/],
    [[[1, 2], [1]], /data\[1\] must have 2 elements, got 1/],
    [[[1], 2], /data\[1\] must be an array of 1, got 2/],
    [[1, [2]], /data\[1\] must be a number, a boolean or a bigint, got an array/],
    [[[[1]], [[]]], /data\[1\]\[0\] must have 1 elements, got 0/],
    [[[], [1]], /data\[1\] must have 0 elements, got 1/],
    [cyclic, /data contains itself/],
    [deepCycle, /data\[1\] must be a number, a boolean or a bigint, got an array/],
    [[1, true], /data\[1\] is a boolean, but the values before it are numbers/],
    [[[1], [1n]], /data\[1\]\[0\] is a bigint, but the values before it are numbers/],
    [[true, 0], /data\[1\] is a number, but the values before it are booleans/],
    [['a'], /data\[0\] must be a number, a boolean or a bigint, got "a"/],
    [[1, null], /data\[1\] must be .*, got null/],
    [new Array(2), /data\[0\] must be .*, got undefined/],
    [[new Float32Array(2)], /data\[0\] must be .*, got an object/],
    [{}, /data must be .*, got an object/],
    [undefined, /data must be .*, got undefined/],
  ];
  for (const [data, message] of cases)
    assert.throws(() => flattenNested(data), { name: 'TypeError', message });
});

test('a length that changes while it is read does not grow the result', () => {
  const outer: unknown[] = [[1, 2]];
  Object.defineProperty(outer, 1, {
    enumerable: true,
    get() {
      outer.push([9, 9]);
      return [3, 4];
    },
  });
  assert.deepEqual(flattenNested(outer), { values: [1, 2, 3, 4], shape: [2, 2], dtype: 'float32' });
});

test('nestFlat is the inverse', () => {
  const nests = [
    [
      [1, 2, 3],
      [4, 5, 6],
    ],
    [[[true]], [[false]]],
    [5n],
    7,
    [],
    [[], []],
  ];
  for (const nest of nests) {
    const { values, shape } = flattenNested(nest);
    assert.deepEqual(nestFlat(values as number[], shape), nest);
  }
  assert.deepEqual(nestFlat([], [0, 3]), []);
  assert.deepEqual(nestFlat(Float64Array.of(1, 2), [2, 1]), [[1], [2]]);
});

test('nestFlat refuses a shape of another size', () => {
  assert.throws(() => nestFlat([1, 2, 3], [2, 2]), { name: 'RangeError', message: /\[2, 2\]/ });
  assert.throws(() => nestFlat([], []), RangeError);
});
