import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { checkFormat } from '../../lib/experiment/format.js';
import { checkExperiment, readExperiment } from '../../lib/experiment/index.js';
import { merged } from '../../lib/experiment/table.js';

const golden = JSON.parse(
  readFileSync(new URL('../../../test/golden/experiments.json', import.meta.url), 'utf8'),
);
const folder = mkdtempSync(join(tmpdir(), 'spikenode-merge-'));
after(() => rmSync(folder, { recursive: true }));

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test('tables merge as in the original where lists are whole', () => {
  let compared = 0;
  for (const { first, second, merge_lists, result } of golden.merges) {
    if (merge_lists || result === undefined) continue;
    assert.deepEqual(plain(merged(first, second)), result);
    compared++;
  }
  assert.equal(compared, 3);
});

for (const { file, parsed, merged_models, valid, invalid_because } of golden.cases) {
  test(`${file}: the fixed part ${valid ? 'is right, and its models are those of the original' : 'is wrong'}`, () => {
    if (!valid) {
      assert.throws(
        () => checkFormat(parsed),
        ({ path }) => invalid_because.some(([, where]: string[]) => path.join('.') === where),
      );
      return;
    }
    const { model } = checkFormat(parsed);
    const optional = {
      params: {},
      epochs: 0,
      batch_size: 32,
      load: false,
      train: true,
      evaluate: true,
      disabled: false,
    };
    const expected = merged_models.map((one: { optimizer?: object }) => ({ ...optional, ...one }));
    for (const { optimizer } of expected) {
      if (!optimizer) continue;
      optimizer.params ??= {};
      if (optimizer.scheduler) optimizer.scheduler.params ??= {};
    }
    assert.deepEqual(plain(model), expected);
  });
}

const base = `[learningframework]
kind = "SpikingJelly"
[dataset]
kind = "Digits"
[model_template]
kind = "SMLP"
batch_size = 8
params = { timesteps = 4, units = [8, 4], neuron = { kind = "IFNode" } }
[[model]]
name = "included"
`;
const main = `includes = ["base.toml"]
[bench]
name = "b"
seed = 0
first_run = 0
last_run = 0
`;

function put(name: string, text: string): string {
  const file = join(folder, name);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, text);
  return file;
}

test('includes are filled in beneath the main file; lists of the main file are whole', async () => {
  put('base.toml', base);
  const file = put('main.toml', main);
  const { config } = await readExperiment(file);
  assert.deepEqual(
    config.model.map(({ name, batch_size }) => [name, batch_size]),
    [['included', 8]],
  );
  const own = put('own.toml', `${main}[[model]]\nname = "own"\n[model_template]\nbatch_size = 2\n`);
  const second = await readExperiment(own, ['--model.0.epochs=3']);
  assert.deepEqual(
    second.config.model.map(({ name, batch_size, epochs }) => [name, batch_size, epochs]),
    [['own', 2, 3]],
  );
});

test('includes are found in the search paths, with and without their ending', async () => {
  put('conf/deep/base.toml', base);
  const text = main.replace('["base.toml"]', '["base"]\ninclude_search_paths = ["nowhere", "conf/deep"]');
  const { config } = await checkExperiment(text, join(folder, 'sub.toml'));
  assert.equal(config.model[0]?.name, 'included');
});

test('errors name the file that they are in', async () => {
  const included = put('base.toml', base.replace('batch_size = 8', 'batch_size = 0'));
  const file = put('main.toml', main);
  await assert.rejects(readExperiment(file), {
    message: `${included}:7:14: model_template.batch_size: expected an integer >= 1, got 0`,
  });
  put('base.toml', 'a = \n');
  await assert.rejects(readExperiment(file), {
    message: /base\.toml:1:5: configuration: expected valid TOML/,
  });
  put('base.toml', 'includes = []\n');
  await assert.rejects(readExperiment(file), {
    message: `${file}:1:13: includes.0: expected a file that includes no others, got "base.toml"`,
  });
  rmSync(join(folder, 'base.toml'));
  await assert.rejects(readExperiment(file), {
    message: `${file}:1:13: includes.0: expected a file in one of ${folder}, conf, got "base.toml"`,
  });
  await assert.rejects(checkExperiment('includes = 3', 'e.toml'), {
    message: 'e.toml:1:12: includes: expected a list of non-empty strings, got 3',
  });
  await assert.rejects(readExperiment(join(folder, 'none.toml')), {
    message: `${join(folder, 'none.toml')}: expected an experiment file, got no such file`,
  });
});
