import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ConfigError } from '../../lib/errors.js';
import { checkExperiment } from '../../lib/experiment/index.js';
import { applyOverride, parseOverride } from '../../lib/experiment/override.js';

const golden = JSON.parse(
  readFileSync(new URL('../../../test/golden/experiments.json', import.meta.url), 'utf8'),
);

const text = `[bench]
name = "b"
seed = 0
first_run = 0
last_run = 1
[learningframework]
kind = "SpikingJelly"
[dataset]
kind = "Digits"
[model_template]
kind = "SMLP"
params = { timesteps = 4, units = [8, 4], neuron = { kind = "IFNode" } }
optimizer = { kind = "SGD", params = { lr = 0.1 } }
[[model]]
name = "one"
[[model]]
name = "two"
epochs = 2
`;

async function errorOf(...overrides: string[]): Promise<string> {
  try {
    await checkExperiment(text, 'e.toml', overrides);
  } catch (error) {
    assert.ok(error instanceof ConfigError, `${error}`);
    return error.message;
  }
  return 'no error';
}

test('values are TOML literals, True, False, None, or bare words', () => {
  for (const [literal, value] of [
    ['3', 3],
    ['-1.5e-3', -0.0015],
    ['1_000', 1000],
    ['inf', Number.POSITIVE_INFINITY],
    ['true', true],
    ['True', true],
    ['False', false],
    ['None', null],
    ['plain', 'plain'],
    ['Truely', 'Truely'],
    ["'x y'", 'x y'],
    ['"a\\nb"', 'a\nb'],
    ['"True"', 'True'],
    ['./data/x', './data/x'],
    ['/data/mnist', '/data/mnist'],
    ['3x', '3x'],
    ['x=y', 'x=y'],
    ['', ''],
    ['[1, 2]', [1, 2]],
    ['[True, \'False\', "True"]', [true, 'False', 'True']],
    ['3\nseed = 4', '3\nseed = 4'],
  ] as const) {
    assert.deepEqual(parseOverride(`--a.0.b=${literal}`).value, value, literal);
  }
  assert.deepEqual(parseOverride('--a.0.b=1').path, ['a', 0, 'b']);
  const table = parseOverride('--a={ kind = "X", params = { b = True } }').value;
  assert.equal(JSON.stringify(table), '{"kind":"X","params":{"b":true}}');
});

test('arguments that are no overrides', async () => {
  for (const [argument, expected] of [
    ['bench.seed=1', '--PATH=VALUE, got no such form'],
    ['--bench.seed', '--PATH=VALUE, got no such form'],
    ['--=1', '--PATH=VALUE, got no such form'],
    ['--a..b=1', 'keys joined by dots, got "a..b"'],
    ['--a.__proto__.b=1', 'keys joined by dots, got "a.__proto__.b"'],
    ['--a=[1', 'a complete TOML literal, got [1'],
    ["--a='x", "a complete TOML literal, got 'x"],
    ['--a={"k": 1}', 'a complete TOML literal, got {"k": 1}'],
  ] as const) {
    assert.equal(await errorOf(argument), `${argument}: expected ${expected}`);
  }
});

test('errors in an override begin with it', async () => {
  for (const [override, message] of [
    ['--model.0.epochs=x', 'model.0.epochs: expected an integer >= 0, got "x"'],
    ['--model.0.epoch=3', 'model.0.epoch: expected a known key (nearest: epochs), got unknown key "epoch"'],
    ['--model.2.epochs=3', 'model: expected an index below 2, got 2'],
    ['--model.one.epochs=3', 'model: expected an index below 2, got "one"'],
    ['--bench.seed.x=3', 'bench.seed: expected a table, got 0'],
    ['--bench.seed=None', 'bench.seed: expected an integer >= 0 and <= 4294967295, got nothing'],
    ['--model_template.epochs=-1', 'model_template.epochs: expected an integer >= 0, got -1'],
    ['--model.0.params.units=[8, 0]', 'model.0.params.units.1: expected an integer >= 1, got 0'],
    [
      '--model.0.params.neuron.params.v_reset=True',
      'model.0.params.neuron.params.v_reset: expected a finite number, or false for the soft reset, got true',
    ],
    [
      '--dataset.kind=Digit',
      'dataset.kind: expected a dataset kind: one of Digits, MNIST, FashionMNIST (nearest: Digits), got "Digit"',
    ],
    ['--benhc.seed=1', 'benhc: expected a known key (nearest: bench), got unknown key "benhc"'],
  ] as const) {
    assert.equal(await errorOf(override), `${override}: ${message}`, override);
  }
});

test('an error elsewhere in the file keeps its position', async () => {
  const broken = text.replace('epochs = 2', 'epochs = -2');
  await assert.rejects(checkExperiment(broken, 'e.toml', ['--bench.seed=3', '--model.0.epochs=1']), {
    message: 'e.toml:18:10: model.1.epochs: expected an integer >= 0, got -2',
  });
  await checkExperiment(broken, 'e.toml', ['--model.1.epochs=1']);
});

test('overrides of the template come before merging; a model of its own wins; lists replace lists', async () => {
  const overrides = [
    '--model_template.epochs=7',
    '--model_template.params.units=[3]',
    '--model.0.optimizer.params.lr=0.5',
    '--model.0.params.neuron.params.v_reset=None',
    '--model.1.params.units.0=5',
    '--bench.last_run=0',
    '--bench.last_run=4',
  ];
  const { config } = await checkExperiment(
    text.replace('epochs = 2', 'epochs = 2\nparams.units = [9, 9]'),
    'e.toml',
    overrides,
  );
  assert.deepEqual(
    config.model.map(({ epochs, params, optimizer }) => [epochs, params['units'], optimizer?.params['lr']]),
    [
      [7, [3], 0.5],
      [2, [5, 9], 0.1],
    ],
  );
  assert.equal(
    JSON.stringify(config.model[0]?.params['neuron']),
    '{"params":{"v_reset":false},"kind":"IFNode"}',
  );
  assert.equal(config.bench.last_run, 4);
});

test('None takes a key of the fixed part away', async () => {
  const { config } = await checkExperiment(text, 'e.toml', ['--model_template.optimizer=None']);
  assert.equal(config.model[0]?.optimizer, undefined);
});

// The original appends the file's elements to a list that is given; here a list replaces a list, and a bare word is a
// string. Everything else is equal.
test('the original overrides', () => {
  let compared = 0;
  for (const { argv, result, error } of golden.overrides) {
    const lists = argv.some((argument: string) => argument.includes('=['));
    const foreign = argv.some((argument: string) => /=plain|=x=y|": |None/.test(argument));
    if (foreign || (lists && argv[0].startsWith('--deploy'))) continue;
    const tables = structuredClone(golden.override_base);
    const apply = (): void => {
      for (const argument of argv) applyOverride(tables, parseOverride(argument));
    };
    compared++;
    if (error) {
      assert.throws(apply, ConfigError, `${argv}`);
      continue;
    }
    apply();
    assert.equal(JSON.stringify(sorted(tables)), JSON.stringify(sorted(result)), `${argv}`);
  }
  assert.equal(compared, 8);
});

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, entry]) => [key, sorted(entry)]));
}
