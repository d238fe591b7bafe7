import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { datasets } from '../../lib/data/index.js';
import { ConfigError } from '../../lib/errors.js';
import { checkExperiment } from '../../lib/experiment/index.js';
import { models } from '../../lib/models/index.js';
import { neurons } from '../../lib/snn.js';
import { frameworks, losses, optimizers } from '../../lib/training/index.js';

const valid = `[bench]
name = "b"
seed = 0
first_run = 0
last_run = 1

[learningframework]
kind = "SpikingJellyMultiStep"

[dataset]
kind = "Digits"

[model_template]
epochs = 3
[model_template.params]
timesteps = 4
neuron.kind = "LIFNode"
neuron.params = { tau = 2, step_mode = "m", v_reset = false }

[[model]]
name = "one"
kind = "SMLP"
batch_size = 64
[model.params]
units = [128]
[model.optimizer]
kind = "Adam"
params = { lr = 5e-3 }
[model.optimizer.scheduler]
kind = "CosineAnnealingLR"
params.T_max = 30

[[model]]
name = "two"
kind = "SMLP"
epochs = 0
params.units = []
`;

async function errorOf(text: string, overrides: readonly string[] = []): Promise<string> {
  try {
    await checkExperiment(text, 'x/e.toml', overrides);
  } catch (error) {
    assert.ok(error instanceof ConfigError, `${error}`);
    return error.message;
  }
  return 'no error';
}

// One change to the valid experiment: what is replaced, by what, and the first line of the error.
const modelKinds = `expected a model kind: one of ${models.names().join(', ')}`;
const changes: readonly (readonly [string, string, string])[] = [
  // The key itself is wrong.
  ['seed = 0', 'sead = 0', '3:1: bench.sead: expected a known key (nearest: seed), got unknown key "sead"'],
  ['seed = 0', 'seed = 0\nseed = 1', '4:1: seed: expected one value, got a repeated key'],
  ['[dataset]', '[bench]', '10:2: bench: expected one value, got a repeated key'],
  [
    '[dataset]',
    '[datset]',
    '10:2: datset: expected a known key (nearest: dataset), got unknown key "datset"',
  ],
  [
    '[[model]]',
    '[[modell]]',
    '20:3: modell: expected a known key (nearest: model), got unknown key "modell"',
  ],
  [
    'kind = "Digits"',
    'kind = "Digits"\npath = ""',
    '12:1: dataset.path: expected a known key (nearest: kind), got unknown key "path"',
  ],
  [
    'kind = "Digits"',
    'kind = "Digits"\nparams.Split = ""',
    '12:8: dataset.params.Split: expected a known key (nearest: split), got unknown key "Split"',
  ],
  [
    'batch_size = 64',
    'batchsize = 64',
    '23:1: model.0.batchsize: expected a known key (nearest: batch_size), got unknown key "batchsize"',
  ],
  [
    'epochs = 3',
    'epoch = 3',
    '14:1: model_template.epoch: expected a known key (nearest: epochs), got unknown key "epoch"',
  ],
  [
    'units = [128]',
    'units = [128]\nunit = 3',
    '26:1: model.0.params.unit: expected a known key (nearest: units), got unknown key "unit"',
  ],
  [
    'tau = 2',
    'taw = 2',
    '18:19: model_template.params.neuron.params.taw: expected a known key (nearest: tau), got unknown key "taw"',
  ],
  [
    'neuron.kind = "LIFNode"',
    'neuron.kind = "LIFNode"\nneuron.parms = 3',
    '18:8: model_template.params.neuron.parms: expected a known key (nearest: params), got unknown key "parms"',
  ],
  [
    'kind = "Adam"',
    'kind = "Adam"\nlr = 3',
    '28:1: model.0.optimizer.lr: expected a known key (nearest: kind), got unknown key "lr"',
  ],
  [
    'lr = 5e-3',
    'learning_rate = 5e-3',
    '28:12: model.0.optimizer.params.learning_rate: expected a known key (nearest: amsgrad), got unknown key "learning_rate"',
  ],
  [
    'params.T_max = 30',
    'params.T_maxx = 30',
    '31:8: model.0.optimizer.scheduler.params.T_maxx: expected a known key (nearest: T_max), got unknown key "T_maxx"',
  ],
  [
    'v_reset = false',
    'vReset = false, v_reset = 0',
    '18:61: model_template.params.neuron.params.v_reset: expected one spelling of vReset, got both vReset and v_reset',
  ],
  // A key is missing.
  [
    'name = "b"\n',
    '',
    '1:1: bench.name: expected a name that can be part of a file name, without / and \\, got nothing',
  ],
  ['kind = "SMLP"\nbatch', 'batch', '20:1: model.0.kind: expected a non-empty string, got nothing'],
  [
    'kind = "SpikingJellyMultiStep"',
    '',
    '7:1: learningframework.kind: expected a non-empty string, got nothing',
  ],
  ['[dataset]\nkind = "Digits"', '', '1:1: dataset: expected a table, got nothing'],
  [
    'kind = "Digits"',
    'kind = "MNIST"',
    '10:1: dataset.params.path: expected a non-empty string, got nothing',
  ],
  ['units = [128]', '', '24:1: model.0.params.units: expected a list of integers >= 1, got nothing'],
  ['timesteps = 4', '', '24:1: model.0.params.timesteps: expected an integer >= 1, got nothing'],
  [
    'params.T_max = 30',
    '',
    '29:1: model.0.optimizer.scheduler.params.T_max: expected an integer >= 1, got nothing',
  ],
  [
    'neuron.kind = "LIFNode"\n',
    '',
    `17:1: model_template.params.neuron.kind: expected a neuron kind: one of ${neurons.names().join(', ')}, got nothing`,
  ],
  // A value is wrong.
  ['seed = 0', 'seed = "2"', '3:8: bench.seed: expected an integer >= 0 and <= 4294967295, got "2"'],
  ['seed = 0', 'seed = 0.5', '3:8: bench.seed: expected an integer >= 0 and <= 4294967295, got 0.5'],
  ['seed = 0', 'seed = -1', '3:8: bench.seed: expected an integer >= 0 and <= 4294967295, got -1'],
  [
    'name = "b"',
    'name = "a/b"',
    '2:8: bench.name: expected a name that can be part of a file name, without / and \\, got "a/b"',
  ],
  [
    'name = "b"',
    'name = ".."',
    '2:8: bench.name: expected a name that can be part of a file name, without / and \\, got ".."',
  ],
  ['last_run = 1', 'last_run = -1', '5:12: bench.last_run: expected an integer >= 0, got -1'],
  ['first_run = 0', 'first_run = 2', '5:12: bench.last_run: expected an integer >= first_run = 2, got 1'],
  [
    'last_run = 1',
    'last_run = 1\nplugins = "x"',
    '6:11: bench.plugins: expected a list of non-empty strings, got "x"',
  ],
  [
    'last_run = 1',
    'last_run = 1\nplugins = ["a", 3]',
    '6:17: bench.plugins.1: expected a non-empty string, got 3',
  ],
  [
    'last_run = 1',
    'last_run = 1\nplugins = ["./none.js"]',
    '6:12: bench.plugins.0: expected a module file, got "./none.js", which does not exist',
  ],
  [
    'kind = "Digits"',
    'kind = "digits"',
    `11:8: dataset.kind: expected a dataset kind: one of ${datasets.names().join(', ')} (nearest: Digits), got "digits"`,
  ],
  [
    'kind = "Digits"',
    'kind = "Digits"\nparams.split = "x"',
    '12:16: dataset.params.split: expected one of "shuffled", "ordered", got "x"',
  ],
  ['kind = "Digits"', 'kind = "Digits"\nparams = 3', '12:10: dataset.params: expected a table, got 3'],
  [
    'kind = "SMLP"\nbatch',
    'kind = "SMLPP"\nbatch',
    `22:8: model.0.kind: ${modelKinds} (nearest: SMLP), got "SMLPP"`,
  ],
  [
    'kind = "SMLP"\nepochs',
    'kind = "toString"\nepochs',
    `35:8: model.1.kind: ${modelKinds} (nearest: SCNN), got "toString"`,
  ],
  ['epochs = 3', 'epochs = -1', '14:10: model_template.epochs: expected an integer >= 0, got -1'],
  ['epochs = 3', 'epochs = inf', '14:10: model_template.epochs: expected an integer >= 0, got Infinity'],
  ['epochs = 0', 'epochs = true', '36:10: model.1.epochs: expected an integer >= 0, got true'],
  ['batch_size = 64', 'batch_size = 0', '23:14: model.0.batch_size: expected an integer >= 1, got 0'],
  ['batch_size = 64', 'load = "yes"', '23:8: model.0.load: expected true or false, got "yes"'],
  [
    'batch_size = 64',
    'batch_size = 2024-01-01',
    '23:14: model.0.batch_size: expected an integer >= 1, got a date',
  ],
  [
    'timesteps = 4',
    'timesteps = 0',
    '16:13: model_template.params.timesteps: expected an integer >= 1, got 0',
  ],
  ['units = [128]', 'units = [128, 0]', '25:15: model.0.params.units.1: expected an integer >= 1, got 0'],
  ['units = [128]', 'units = 128', '25:9: model.0.params.units: expected a list of integers >= 1, got 128'],
  [
    'units = [128]',
    'units = [128]\ninput_shape = []',
    '26:15: model.0.params.input_shape: expected a non-empty list of integers >= 1, got an empty list',
  ],
  [
    'neuron.kind = "LIFNode"',
    'neuron.kind = "LIF"',
    `17:15: model_template.params.neuron.kind: expected a neuron kind: one of ${neurons.names().join(', ')} (nearest: LIFNode), got "LIF"`,
  ],
  ['tau = 2', 'tau = 1', '18:25: model_template.params.neuron.params.tau: expected a number > 1, got 1'],
  [
    'tau = 2',
    'tau = nan',
    '18:25: model_template.params.neuron.params.tau: expected a finite number > 1, got NaN',
  ],
  [
    'v_reset = false',
    'v_reset = true',
    '18:55: model_template.params.neuron.params.v_reset: expected a finite number, or false for the soft reset, got true',
  ],
  [
    'step_mode = "m"',
    'step_mode = "x"',
    '18:40: model_template.params.neuron.params.step_mode: expected one of "s", "m", got "x"',
  ],
  ['lr = 5e-3', 'lr = -1', '28:17: model.0.optimizer.params.lr: expected a number >= 0, got -1'],
  [
    'lr = 5e-3',
    'betas = [0.9, 1]',
    '28:26: model.0.optimizer.params.betas.1: expected a number >= 0 and < 1, got 1',
  ],
  [
    'kind = "Adam"',
    'kind = "Adm"',
    `27:8: model.0.optimizer.kind: expected an optimizer kind: one of ${optimizers.names().join(', ')} (nearest: Adam), got "Adm"`,
  ],
  [
    'kind = "CosineAnnealingLR"',
    'kind = "StepLR"',
    '31:8: model.0.optimizer.scheduler.params.T_max: expected a known key (nearest: gamma), got unknown key "T_max"',
  ],
  [
    'params.T_max = 30',
    'params.T_max = 0.5',
    '31:16: model.0.optimizer.scheduler.params.T_max: expected an integer >= 1, got 0.5',
  ],
  [
    'kind = "SpikingJellyMultiStep"',
    'kind = "SpikingJellyMultiStep"\nparams.loss = "ce"',
    `9:15: learningframework.params.loss.kind: expected a loss: one of ${losses.names().join(', ')} (nearest: mse), got "ce"`,
  ],
  [
    'kind = "SpikingJellyMultiStep"',
    'kind = "PyTorch"',
    `8:8: learningframework.kind: expected a learning framework: one of ${frameworks.names().join(', ')} (nearest: SpikingJelly), got "PyTorch"`,
  ],
  [
    'kind = "SpikingJellyMultiStep"',
    'kind = "SpikingJelly"',
    '8:8: learningframework.kind: expected SpikingJellyMultiStep, since the network\'s step_mode is "m", got SpikingJelly, which is for step_mode "s"',
  ],
  [
    'step_mode = "m", ',
    '',
    '8:8: learningframework.kind: expected SpikingJelly, since the network\'s step_mode is "s", got SpikingJellyMultiStep, which is for step_mode "m"',
  ],
  [
    '[[model]]\nname = "two"\nkind = "SMLP"\nepochs = 0\nparams.units = []\n',
    '[[preprocessing]]\nkind = "Class2BinMatrix"\n',
    '33:1: preprocessing: expected no section of this name, which is not supported yet, got a list',
  ],
  [
    '[[model]]\nname = "two"\nkind = "SMLP"\nepochs = 0\nparams.units = []\n',
    '[deploy]\ntarget = "Linux"\nquantize = []\n',
    '33:1: deploy.converter: expected a table, got nothing',
  ],
  ['[model_template]', '[[model_template]]', '13:1: model_template: expected a table, got a list'],
  ['seed = 0', 'seed = 00', '3:8: configuration: expected valid TOML, got illegal leading zero'],
  ['seed = 0', 'seed = ', '3:8: configuration: expected valid TOML, got invalid value'],
];

for (const [from, to, message] of changes) {
  test(message, async () => {
    assert.equal(valid.split(from).length, from === '[[model]]' || from === 'kind = "SMLP"' ? 3 : 2, from);
    const text = from === '[[model]]' ? valid.replaceAll(from, to) : valid.replace(from, to);
    assert.equal(await errorOf(text), `x/e.toml:${message}`);
  });
}

test('a valid experiment has its defaults, and the template in each model', async () => {
  const { config, models: built, notes } = await checkExperiment(valid, 'e.toml');
  assert.deepEqual(config.bench, {
    name: 'b',
    seed: 0,
    first_run: 0,
    last_run: 1,
    plugins: [],
    use_test_as_valid: false,
  });
  const neuron = { kind: 'LIFNode', params: { tau: 2, step_mode: 'm', v_reset: false } };
  assert.equal(JSON.stringify(config.model[1]?.params), JSON.stringify({ units: [], timesteps: 4, neuron }));
  const rest = { load: false, train: true, evaluate: true, disabled: false };
  const { params: _, ...second } = config.model[1]!;
  assert.deepEqual(second, { name: 'two', kind: 'SMLP', epochs: 0, batch_size: 32, ...rest });
  assert.deepEqual([config.model[0]?.epochs, config.model[0]?.batch_size], [3, 64]);
  assert.equal(built.length, 2);
  assert.equal(notes.length, 1);
  assert.match(notes[0]!, /^learningframework\.kind: /);
});

test('what is accepted with a note', async () => {
  const text = valid
    .replace('last_run = 1', 'last_run = 1\nplugins = ["qualia_plugin_snn"]')
    .replace('step_mode = "m"', 'step_mode = "m", backend = "cupy"')
    .replace('epochs = 0', 'epochs = 1\nupdate.quant_params.bits = 8')
    .concat('[deploy]\ntarget = "Linux"\nconverter.kind = "QualiaCodeGen"\nquantize = ["int8"]\n')
    .concat('[experimenttracking]\nkind = "ClearML"\n');
  const { notes } = await checkExperiment(text, 'e.toml');
  assert.deepEqual(
    notes.map((note) => note.split(':')[0]),
    [
      'bench.plugins.0',
      'learningframework.kind',
      'experimenttracking',
      'deploy',
      'model.0.params.neuron.params.backend',
      'model.1.params.neuron.params.backend',
      'model.1.update',
      'model.1',
    ],
  );
});

test('disabled models are checked and left out; empty unsupported lists do not matter', async () => {
  const text = valid.replace('epochs = 0', 'disabled = true');
  const { config, models: built } = await checkExperiment(`preprocessing = []\n${text}`, 'e.toml');
  assert.deepEqual([config.model.length, built.map((model) => model.config.name)], [2, ['one']]);
  assert.match(
    await errorOf(text.replace('params.units = []', 'params.units = 3')),
    /model\.1\.params\.units: /,
  );
});

test('no models, no table, and files that are not TOML', async () => {
  const start = valid.slice(0, valid.indexOf('[[model]]'));
  assert.equal(
    await errorOf(start),
    'x/e.toml:1:1: model: expected at least one table [[model]], got nothing',
  );
  assert.equal(
    await errorOf(`model = []\n${start}`),
    'x/e.toml:1:9: model: expected at least one table [[model]], got an empty list',
  );
  assert.equal(await errorOf(`model = [3]\n${start}`), 'x/e.toml:1:10: model.0: expected a table, got 3');
  assert.match(await errorOf(''), /^x\/e\.toml:1:1: bench: expected a table, got nothing/);
  assert.match(await errorOf('\u0000'), /^x\/e\.toml:1:1: configuration: expected valid TOML, got /);
});

test('a byte order mark and Windows line ends do not move positions', async () => {
  const text = `\uFEFF${valid.replace('seed = 0', 'sead = 0').replaceAll('\n', '\r\n')}`;
  assert.match(await errorOf(text), /^x\/e\.toml:3:1: bench\.sead: /);
});

test('keys of the prototype chain are unknown keys', async () => {
  for (const key of ['__proto__', 'constructor', 'hasOwnProperty']) {
    assert.match(
      await errorOf(valid.replace('seed = 0', `seed = 0\n${key} = 1`)),
      /:4:1: bench\..*unknown key/,
    );
    const inParams = valid.replace('units = [128]', `units = [128]\n${key}.x = 1`);
    assert.match(await errorOf(inParams), /:26:1: model\.0\.params\..*unknown key/);
  }
});

test('the examples are valid', async () => {
  for (const name of ['digits.toml', 'fashion-mnist.toml']) {
    const text = await readFile(new URL(`../../../examples/${name}`, import.meta.url), 'utf8');
    const { models: built } = await checkExperiment(text, name);
    assert.ok(built.length > 0);
  }
});
