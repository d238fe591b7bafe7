import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ConfigError, checkExperiment, runExperiment } from '../../lib/index.js';

const digits = fileURLToPath(new URL('../../../examples/digits.toml', import.meta.url));
const text = readFileSync(digits, 'utf8');
const head = text.slice(0, text.indexOf('[[model]]'));
const right = text.slice(text.indexOf('[[model]]'));
const folder = mkdtempSync(join(tmpdir(), 'spikenode-before-'));
after(() => rmSync(folder, { recursive: true }));

/** The error of an experiment; nothing must have been trained or written. */
async function errorOf(content: string, overrides: readonly string[] = []): Promise<string> {
  const experiment = await checkExperiment(content, 'two.toml', overrides);
  const report = (event: object): void => assert.fail(JSON.stringify(event));
  let message = '';
  await assert.rejects(runExperiment(experiment, { folder, report }), (error: unknown) => {
    assert.ok(error instanceof ConfigError, `${error}`);
    message = error.message;
    return true;
  });
  assert.ok(!existsSync(join(folder, 'digits')));
  return message;
}

const metrics = /train_prec, train_rec, train_f1, train_acc, train_avgclsacc, train_loss/.source;
const noValidation = ', since there is no validation set';

// What only data and network can tell, in the second of two models: a line of it, and the line with the mistake.
const mistakes: readonly [line: string, wrong: string, column: number, message: string][] = [
  [
    'params = { T_max = 30 }',
    'kind = "ReduceLROnPlateau"\n    params = { monitor = "train_los" }',
    26,
    `model.1.optimizer.scheduler.params.monitor: expected one of ${metrics}, got "train_los"`,
  ],
  [
    'params = { T_max = 30 }',
    'kind = "ReduceLROnPlateau"\n    params = { monitor = "val_acc" }',
    26,
    `model.1.optimizer.scheduler.params.monitor: expected one of ${metrics}${noValidation}, got "val_acc"`,
  ],
  [
    'batch_size = 64',
    'early_stopping = { monitor = "train_accuracy" }',
    30,
    `model.1.early_stopping.monitor: expected one of ${metrics}, got "train_accuracy"`,
  ],
  [
    'units = [128]',
    'units = [128]\n  input_shape = [9, 8, 1]',
    17,
    'model.1.params.input_shape: expected 64 values, as the samples have: [8, 8, 1], got [9, 8, 1]',
  ],
  [
    'units = [128]',
    'units = [128]\n  output_shape = [5]',
    18,
    'model.1.params.output_shape: expected [n], at least the 10 classes of the data, got [5]',
  ],
  [
    'units = [128]',
    'units = [128]\n  output_shape = [10, 2]',
    18,
    'model.1.params.output_shape: expected [n], at least the 10 classes of the data, got [10, 2]',
  ],
];

for (const [line, mistake, column, expected] of mistakes) {
  test(`told before the first of two models is trained: ${expected}`, async () => {
    const replaced = line.startsWith('params = { T') ? `kind = "CosineAnnealingLR"\n    ${line}` : line;
    assert.ok(right.includes(replaced));
    const content = `${head}${right}\n${right.replace(replaced, mistake)}`;
    const last = mistake.split('\n').at(-1)!.trim();
    const row = content.split('\n').findIndex((own) => own.trim() === last) + 1;
    assert.equal(await errorOf(content), `two.toml:${row}:${column}: ${expected}`);
  });
}

test('what the learning framework needs is told before training too', async () => {
  const place = 'learningframework.params';
  const withLoss = text.replace(
    'loss = "crossentropy"',
    'loss = { kind = "crossentropy", params = { weight = [1, 2] } }',
  );
  const told = `${place}.loss.params.weight: expected 10 numbers, one for each class, got 2`;
  const row = withLoss.split('\n').findIndex((line) => line.includes('[1, 2]')) + 1;
  const column = withLoss.split('\n')[row - 1]!.indexOf('[1, 2]') + 1;
  assert.equal(await errorOf(withLoss), `two.toml:${row}:${column}: ${told}`);
  const best = ['use_best_epoch=true', 'checkpoint_metric={ name = "val_ac", mode = "max" }'];
  assert.match(
    await errorOf(
      text,
      best.map((one) => `--${place}.${one}`),
    ),
    /^--learning.*: learningframework.params.checkpoint_metric.name: expected one of .*, got "val_ac"$/,
  );
});

test('an error in what only the template has is told at its place', async () => {
  const template = right.replace('[[model]]', '[model_template]').replaceAll('[model.', '[model_template.');
  const content = `${head}${template.replace('units = [128]', 'units = [128]\n  input_shape = [9, 8, 1]')}\n[[model]]\nname = "a"\n`;
  const row = content.split('\n').findIndex((line) => line.includes('[9, 8, 1]')) + 1;
  assert.match(
    await errorOf(content),
    new RegExp(`^two.toml:${row}:17: model_template.params.input_shape: expected 64`),
  );
});
