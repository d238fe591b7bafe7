import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { ConfigError } from '../lib/errors.js';
import {
  checkValue,
  finite,
  flag,
  integer,
  KeyError,
  list,
  nearest,
  nullableReset,
  oneOf,
  type ParameterTable,
  parameter,
  positive,
  resolved,
  resolveParameters,
  shown,
  text,
} from '../lib/parameters.js';

const table: ParameterTable = {
  tau: parameter('tau', finite().gt(1).default(2)),
  vThreshold: parameter('v_threshold', finite().default(1)),
  vReset: parameter('v_reset', nullableReset().default(0)),
  detachReset: parameter('detach_reset', flag().default(false)),
  stepMode: parameter('step_mode', oneOf(['s', 'm']).default('s')),
};
const required: ParameterTable = {
  units: parameter('units', list(integer(1))),
  totalSteps: parameter('total_steps', integer(1)),
};

function messageOf(run: () => unknown): string {
  let message = '';
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    message = error.message;
    return true;
  });
  return message;
}

test('defaults are filled in and names become camelCase', () => {
  const defaults = { tau: 2, vThreshold: 1, vReset: 0, detachReset: false, stepMode: 's' };
  assert.deepEqual(resolveParameters(table, {}), defaults);
  assert.deepEqual(resolveParameters(table, { v_threshold: 0.5, vReset: undefined, detach_reset: true }), {
    ...defaults,
    vThreshold: 0.5,
    detachReset: true,
  });
});

test('the reset potential: false and null are the soft reset, true and numbers that are not finite are errors', () => {
  const reset = (value: unknown): unknown =>
    resolveParameters<{ vReset: unknown }>(table, { v_reset: value }).vReset;
  assert.equal(reset(false), null);
  assert.equal(reset(null), null);
  assert.equal(reset(-65), -65);
  const expected = 'v_reset: expected a finite number, or false for the soft reset, got ';
  for (const [value, got] of [
    [true, 'true'],
    [Number.NaN, 'NaN'],
    [Number.POSITIVE_INFINITY, 'Infinity'],
    ['0', '"0"'],
  ] as const) {
    assert.equal(
      messageOf(() => reset(value)),
      expected + got,
    );
  }
});

test('each wrong value is named with its path, what was expected and what came', () => {
  const at = ['neuron', 'params'];
  for (const [given, message] of [
    [{ tau: 1 }, 'neuron.params.tau: expected a number > 1, got 1'],
    [{ tau: 'abc' }, 'neuron.params.tau: expected a number > 1, got "abc"'],
    [{ tau: Number.NaN }, 'neuron.params.tau: expected a finite number > 1, got NaN'],
    [{ tau: {} }, 'neuron.params.tau: expected a number > 1, got a table'],
    [{ v_threshold: null }, 'neuron.params.v_threshold: expected a number, got null'],
    [{ step_mode: 'x' }, 'neuron.params.step_mode: expected one of "s", "m", got "x"'],
    [{ detach_reset: 1 }, 'neuron.params.detach_reset: expected true or false, got 1'],
    [
      { v_treshold: 1 },
      'neuron.params.v_treshold: expected a known key (nearest: v_threshold), got unknown key "v_treshold"',
    ],
    [
      { v_reset: 0, vReset: 0 },
      'neuron.params.vReset: expected one spelling of v_reset, got both v_reset and vReset',
    ],
    [[], 'neuron.params: expected a table, got an empty list'],
    [5, 'neuron.params: expected a table, got 5'],
  ] as const) {
    assert.equal(
      messageOf(() => resolveParameters(table, given, at)),
      message,
    );
  }
  assert.throws(() => resolveParameters(table, { taw: 1 }), KeyError);
  assert.equal(
    messageOf(() => resolveParameters(table, { vtreshold: 1 })),
    'vtreshold: expected a known key (nearest: vThreshold), got unknown key "vtreshold"',
  );
});

test('missing parameters are named as in the configuration, or as in code where there is no path', () => {
  assert.equal(
    messageOf(() => resolveParameters(required, { units: [3] }, ['params'])),
    'params.total_steps: expected an integer >= 1, got nothing',
  );
  assert.equal(
    messageOf(() => resolveParameters(required, { units: [3] })),
    'totalSteps: expected an integer >= 1, got nothing',
  );
  assert.equal(
    messageOf(() => resolveParameters(required, {})),
    'units: expected a list of integers >= 1, got nothing',
  );
});

test('names of the prototype chain are unknown keys like others', () => {
  for (const key of ['constructor', 'toString', '__proto__']) {
    const given = JSON.parse(`{"${key}": 1}`);
    assert.match(
      messageOf(() => resolveParameters(table, given)),
      /got unknown key/,
    );
  }
});

test('ready-made checks describe themselves', () => {
  const errorOf = (check: z.ZodType, value: unknown): string =>
    messageOf(() => checkValue(check, value, ['a']));
  assert.equal(errorOf(finite(), Number.NEGATIVE_INFINITY), 'a: expected a finite number, got -Infinity');
  assert.equal(errorOf(positive(), 0), 'a: expected a number > 0, got 0');
  assert.equal(errorOf(integer(), 0.5), 'a: expected an integer, got 0.5');
  assert.equal(errorOf(integer(1), 0), 'a: expected an integer >= 1, got 0');
  assert.equal(errorOf(integer(1), 2 ** 60), 'a: expected a safe integer >= 1, got 1152921504606847000');
  assert.equal(errorOf(finite().min(0).lt(1), 1), 'a: expected a number >= 0 and < 1, got 1');
  assert.equal(errorOf(text(), ''), 'a: expected a non-empty string, got ""');
  assert.equal(errorOf(list(text()), [1]), 'a.0: expected a non-empty string, got 1');
  assert.equal(errorOf(list(integer(1)), [3, 0.5]), 'a.1: expected an integer >= 1, got 0.5');
  assert.equal(
    errorOf(list(integer(1)).min(1), []),
    'a: expected a non-empty list of integers >= 1, got an empty list',
  );
  assert.equal(
    errorOf(z.union([finite(), list(finite())]), 'x'),
    'a: expected a number or a list of numbers, got "x"',
  );
  assert.equal(errorOf(z.union([finite(), list(finite())]), [1, 'x']), 'a.1: expected a number, got "x"');
  assert.equal(errorOf(finite().nullable(), 'x'), 'a: expected a number or null, got "x"');
  assert.equal(
    errorOf(
      finite().refine((x) => x % 2 === 0, 'an even number'),
      3,
    ),
    'a: expected an even number, got 3',
  );
  assert.equal(
    errorOf(z.strictObject({ epochs: integer(0) }), { epocs: 1 }),
    'a.epocs: expected a known key (nearest: epochs), got unknown key "epocs"',
  );
  assert.equal(errorOf(z.record(z.string(), finite()), { b: 'x' }), 'a.b: expected a number, got "x"');
});

test('a check written as a function keeps the path, the texts and the kind of its error', () => {
  const surrogate = resolved((value) => {
    if (value === 'ATan') return { kind: 'ATan', alpha: 2 };
    if (value === 'key')
      throw new KeyError(['params', 'beta'], 'a known key (nearest: alpha)', 'unknown key "beta"');
    throw new ConfigError(['kind'], 'a surrogate', '"Atan"');
  });
  const owner: ParameterTable = { surrogateFunction: parameter('surrogate_function', surrogate) };
  assert.deepEqual(resolveParameters(owner, { surrogate_function: 'ATan' }), {
    surrogateFunction: { kind: 'ATan', alpha: 2 },
  });
  assert.equal(
    messageOf(() => resolveParameters(owner, { surrogate_function: 'x' }, ['params'])),
    'params.surrogate_function.kind: expected a surrogate, got "Atan"',
  );
  assert.throws(() => resolveParameters(owner, { surrogate_function: 'key' }), KeyError);
  const broken = resolved(() => {
    throw new RangeError('a defect');
  });
  assert.throws(() => checkValue(broken, 1, []), RangeError);
});

test('values are shown shortly', () => {
  class Thing {}
  for (const [value, text] of [
    [0.5, '0.5'],
    [10n, '10'],
    ['abc', '"abc"'],
    ['x'.repeat(100), `"${'x'.repeat(40)}..."`],
    [false, 'false'],
    [undefined, 'nothing'],
    [null, 'null'],
    [[1], 'a list'],
    [{}, 'a table'],
    [Object.create(null), 'a table'],
    [new Thing(), 'an instance of Thing'],
    [Thing, 'the function Thing'],
    [new Date(0), 'a date'],
  ] as const) {
    assert.equal(shown(value), text);
  }
});

test('the nearest name', () => {
  assert.equal(nearest('epoch', ['name', 'epochs', 'load']), 'epochs');
  assert.equal(nearest('vthreshold', ['v_reset', 'v_threshold']), 'v_threshold');
  assert.equal(nearest('lifnode', ['IFNode', 'LIFNode']), 'LIFNode');
  assert.equal(nearest('x', []), '');
});
