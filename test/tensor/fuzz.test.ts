import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as spikenode from '../../lib/tensor/index.js';
import { addon } from '../../lib/tensor/operator.js';
import { randomNumbers } from './helpers.js';

// Hostile arguments into every exposed function: each call either works or throws an Error.
const calls = process.env['SPIKENODE_TEST_LONG'] ? 200_000 : 12_000;
const next = randomNumbers(20);
const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;

function hostileValues(): unknown[] {
  const small = spikenode.ones([2, 3]);
  const gone = spikenode.ones([1]);
  gone.dispose();
  const detached = new Float32Array(4);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  const disposing = {
    get dtype(): string {
      small.dispose();
      return 'float32';
    },
  };
  const throwing = {
    get dim(): never {
      throw new Error('getter');
    },
    get dtype(): never {
      throw new Error('getter');
    },
  };
  const trap = new Proxy([1, 2], {
    get() {
      throw new Error('proxy');
    },
  });
  const disposingList = [2, 3];
  Object.defineProperty(disposingList, 1, {
    get() {
      small.dispose();
      return 3;
    },
  });
  const scalars = [
    NaN,
    Infinity,
    -Infinity,
    -1,
    0,
    1,
    2,
    3.5,
    2 ** 31,
    2 ** 53,
    -(2 ** 53),
    1e300,
    5n,
    2n ** 63n,
    2n ** 200n,
  ];
  const tensors = [
    small,
    spikenode.zeros([0]),
    spikenode.ones([3]),
    spikenode.tensor([1n, 0n]),
    spikenode.tensor([[true]]),
    gone,
  ];
  const lists = [
    [],
    [1],
    [2, 3],
    [-1, -5],
    [NaN],
    [2 ** 53],
    [2 ** 40, 2 ** 40],
    ['a'],
    [small, gone],
    [null],
    cyclic,
    disposingList,
  ];
  const strings = ['', 'float32', 'cuda', 'cuda:0', 'none', 'mean', 'a'.repeat(10_000), '\u0000'];
  const objects = [
    {},
    { dtype: 'int64' },
    { dim: 99 },
    disposing,
    throwing,
    trap,
    new Map(),
    () => 1,
    Symbol('s'),
    detached,
  ];
  return [...scalars, ...tensors, ...lists, ...strings, ...objects, null, undefined, true, false];
}

// Sizes that are legal and merely large would cost minutes, not find crashes. Read at the first allocation.
process.env['SPIKENODE_MEMORY_LIMIT'] = '1G';

test(`${calls} hostile calls never crash and throw only errors`, () => {
  const skipped = new Set(['unsafeOperator', 'setNumThreads', 'emptyCache', 'Tensor', 'Scope', 'Generator']);
  const functions = Object.entries(spikenode).filter(
    ([name, value]) => typeof value === 'function' && !skipped.has(name),
  );
  let worked = 0;
  let refused = 0;
  for (let i = 0; i < calls; ) {
    spikenode.tidy(() => {
      const pool = hostileValues();
      for (let j = 0; j < 50; j++, i++) {
        const [name, fn] = pick(functions) as [string, (...args: unknown[]) => unknown];
        const args = Array.from({ length: Math.floor(next() * 5) }, () => pick(pool));
        try {
          const result = fn(...args);
          if (result instanceof Promise) result.catch(() => {});
          worked++;
        } catch (error) {
          refused++;
          assert.ok(error instanceof Error, `${name} threw ${String(error)}`);
        }
      }
    });
  }
  assert.ok(worked > calls / 100 && refused > calls / 10, `${worked} worked, ${refused} refused`);
});

test('raw calls into the addon are refused with errors', () => {
  const native = addon();
  const members = Object.entries(native as unknown as Record<string, (...args: unknown[]) => unknown>);
  const skipped = new Set(['setNumThreads', 'setErrorClasses', 'schemas', 'emptyCache', 'stopWorkers']);
  spikenode.tidy(() => {
    for (let i = 0; i < calls / 4; i++) {
      const [name, fn] = pick(members.filter(([key]) => !skipped.has(key)));
      const pool =
        i % 200 === 0
          ? hostileValues()
          : [NaN, -1, 0, 1, 1e300, 2 ** 52, 'x', null, undefined, [], [1, 'a'], {}, 3n];
      try {
        const result = fn(...Array.from({ length: Math.floor(next() * 6) }, () => pick(pool)));
        if (result instanceof Promise) result.catch(() => {});
      } catch (error) {
        assert.ok(error instanceof Error, name);
      }
    }
  });
  native.setGradMode(true);
});
