import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  ConfigError,
  loadRun,
  type RunEvent,
  type RunOptions,
  type RunResult,
  readExperiment,
  runExperiment,
} from '../../lib/index.js';

const digits = fileURLToPath(new URL('../../../examples/digits.toml', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'spikenode-runs-'));
after(() => rmSync(folder, { recursive: true }));

const base = ['--model.0.batch_size=240', '--model.0.epochs=3', '--model.0.checkpoint={ every_steps = 2 }'];

/** Runs an experiment until there have been so many steps, or to its end. */
async function run(
  overrides: readonly string[],
  options: RunOptions = {},
  steps: number = Number.POSITIVE_INFINITY,
  file: string = digits,
): Promise<{ readonly results: RunResult[]; readonly events: RunEvent[] }> {
  const experiment = await readExperiment(file, [...base, ...overrides]);
  const stop = new AbortController();
  const events: RunEvent[] = [];
  let seen = 0;
  const report = (event: RunEvent): void => {
    events.push(event);
    if (event.event === 'step' && ++seen === steps) stop.abort();
  };
  const results = await runExperiment(experiment, { folder, signal: stop.signal, report, ...options });
  return { results, events };
}

function filesOf(own: string): unknown {
  const read = (name: string): string => readFileSync(join(own, name)).toString('latin1');
  return [read('weights.safetensors'), read('metrics.jsonl')];
}

const names = (events: readonly RunEvent[]): string[] => [
  ...new Set(events.map(({ event }) => event).filter((event) => event !== 'step')),
];

test('several runs of several models go on in the right one, the others stay or are started', async () => {
  // Two models of one name too, told apart by their place.
  const text = readFileSync(digits, 'utf8');
  const model = text.slice(text.indexOf('[[model]]'));
  const two = join(folder, 'two.toml');
  writeFileSync(two, `${text}\n${model.replace('units = [128]', 'units = [16]')}`);
  const all = async (name: string, options: RunOptions, steps?: number): Promise<RunEvent[]> => {
    const second = base.map((one) => one.replace('model.0', 'model.1'));
    const overrides = [...second, '--bench.last_run=1', `--bench.name=${name}`];
    return (await run(overrides, options, steps, two)).events;
  };
  await all('whole', {});
  const expected = ['smlp_r0', 'smlp_r0-2', 'smlp_r1', 'smlp_r1-2'];
  assert.deepEqual(readdirSync(join(folder, 'whole')).sort(), expected);
  await all('parts', {}, 25);
  assert.deepEqual(readdirSync(join(folder, 'parts')).sort(), expected.slice(0, 2));
  const second = await all('parts', { resume: true }, 15);
  assert.deepEqual(names(second), ['skip', 'start', 'resume', 'epoch', 'evaluation', 'end']);
  const third = await all('parts', { resume: join(folder, 'parts', 'smlp_r1') });
  assert.equal(third.filter(({ event }) => event === 'skip').length, 2);
  for (const name of expected) {
    assert.deepEqual(filesOf(join(folder, 'parts', name)), filesOf(join(folder, 'whole', name)), name);
  }
  const again = await all('parts', { resume: true });
  assert.deepEqual(names(again), ['skip']);
});

test('a run goes on in its folder, with the result of one that was never stopped', async () => {
  const whole = await run(['--bench.name=one']);
  const first = await run(['--bench.name=two'], {}, 7);
  const own = join(folder, 'two', 'smlp_r0');
  assert.equal(first.results[0]?.interrupted, true);
  assert.deepEqual(readdirSync(join(own, 'checkpoints')), ['epoch-1-step-7']);
  const { results, events } = await run(['--bench.name=two'], { resume: own });
  assert.deepEqual(filesOf(own), filesOf(join(folder, 'one', 'smlp_r0')));
  assert.deepEqual(results[0]?.metrics, whole.results[0]?.metrics);
  assert.deepEqual(
    events.find(({ event }) => event === 'resume'),
    {
      event: 'resume',
      checkpoint: join(own, 'checkpoints', 'epoch-1-step-7'),
      epochs: 1,
      batches: 1,
      notes: [],
    },
  );
  assert.deepEqual((await loadRun(own)).metrics.length, 4);
  // Further epochs, of the finished run; its metrics are those of one that had them from the beginning.
  const more = ['--model.0.epochs=5'];
  await run(['--bench.name=one', ...more]);
  await run(['--bench.name=two', ...more], { resume: true });
  assert.deepEqual(filesOf(own), filesOf(join(folder, 'one', 'smlp_r0-2')));
  const config = readFileSync(join(own, 'config.toml'), 'utf8');
  assert.match(config, /^epochs = 5$/m);
});

test('a run that was stopped in its evaluation, or before its first checkpoint, goes on too', async () => {
  await run(['--bench.name=plain']);
  for (const when of ['evaluation', 'start'] as const) {
    const name = `--bench.name=stopped-${when}`;
    const stop = new AbortController();
    const experiment = await readExperiment(digits, [...base, name]);
    const report = ({ event }: RunEvent): void => {
      if (event === when) stop.abort();
    };
    await runExperiment(experiment, { folder, signal: stop.signal, report });
    const own = join(folder, `stopped-${when}`, 'smlp_r0');
    if (when === 'start') rmSync(join(own, 'checkpoints'), { recursive: true });
    await run([name], { resume: true });
    assert.deepEqual(filesOf(own), filesOf(join(folder, 'plain', 'smlp_r0')), when);
  }
});

test('the last session that is not finished goes on, not a former one', async () => {
  await run(['--bench.name=sessions'], {}, 5);
  await run(['--bench.name=sessions']);
  await run(['--bench.name=sessions'], {}, 8);
  const [second, third] = ['smlp_r0-2', 'smlp_r0-3'].map((name) => join(folder, 'sessions', name));
  const { results } = await run(['--bench.name=sessions'], { resume: true });
  assert.equal(results[0]?.folder, third);
  assert.deepEqual(filesOf(third!), filesOf(second!));
  const { results: former } = await run(['--bench.name=sessions'], { resume: true });
  assert.equal(former[0]?.folder, join(folder, 'sessions', 'smlp_r0'));
  assert.deepEqual(filesOf(former[0]!.folder), filesOf(second!));
});

test('neither fewer epochs nor a run without further checkpoints loses what was learned', async () => {
  await run(['--bench.name=fewer'], {}, 7);
  const own = join(folder, 'fewer', 'smlp_r0');
  const before = filesOf(own);
  for (const epochs of [0, 1]) {
    await assert.rejects(
      run(['--bench.name=fewer', `--model.0.epochs=${epochs}`], { resume: own }),
      /: model\.0\.epochs: expected at least 2, where .*epoch-1-step-7 is, got [01]$/,
    );
    assert.deepEqual(filesOf(own), before);
  }
  const { events } = await run(['--bench.name=fewer', '--model.0.checkpoint=False'], { resume: own });
  assert.ok(names(events).includes('resume'));
  await run(['--bench.name=fewer-whole']);
  assert.deepEqual(filesOf(own), filesOf(join(folder, 'fewer-whole', 'smlp_r0')));
});

test('files of a run that are damaged are told', async () => {
  await run(['--bench.name=damaged'], {}, 5);
  const own = join(folder, 'damaged', 'smlp_r0');
  const told = async (name: string, content: string, text: string): Promise<void> => {
    const file = join(own, name);
    const before = readFileSync(file);
    writeFileSync(file, content);
    await assert.rejects(run(['--bench.name=damaged'], { resume: own }), {
      name: 'CheckpointError',
      message: `${file}: expected the ${text}`,
    });
    writeFileSync(file, before);
  };
  const missing = 'configuration: expected a table, got';
  await told('run.json', '[]', `record of a run: ${missing} an empty list`);
  await told(
    'run.json',
    '{"session":"a","model":"b","index":0,"run":"1","finished":true}',
    'record of a run: run: expected an integer >= 0, got "1"',
  );
  await told(
    'config.toml',
    '[bench]\nname = "a',
    'configuration of a run: Invalid TOML document: unfinished string',
  );
});

test('what killed processes have left is removed, but not what another process may be making', async () => {
  await run(['--bench.name=swept'], {}, 5);
  const parent = join(folder, 'swept');
  const own = join(parent, 'smlp_r0');
  for (const name of ['.tmp-old', '.tmp-new']) mkdirSync(join(parent, name));
  utimesSync(join(parent, '.tmp-old'), 0, 0);
  for (const name of ['weights.safetensors', 'run.json', 'config.toml'])
    writeFileSync(join(own, `${name}.${randomUUID()}.tmp`), '');
  writeFileSync(join(own, 'notes.tmp'), '');
  await run(['--bench.name=swept'], { resume: true });
  const files = [
    'checkpoints',
    'config.toml',
    'metrics.jsonl',
    'notes.tmp',
    'run.json',
    'weights.safetensors',
  ];
  assert.deepEqual(readdirSync(own).sort(), files);
  await run(['--bench.name=swept']);
  assert.deepEqual(readdirSync(parent).sort(), ['.tmp-new', 'smlp_r0', 'smlp_r0-2']);
});

test('only what does not change the run may be changed', async () => {
  await run(['--bench.name=changes'], {}, 5);
  const own = join(folder, 'changes', 'smlp_r0');
  const refused = async (override: string, place: string, text: RegExp): Promise<void> => {
    await assert.rejects(run(['--bench.name=changes', override], { resume: own }), (error: unknown) => {
      assert.ok(error instanceof ConfigError, `${error}`);
      assert.equal(error.path.join('.'), place);
      assert.match(error.message, text);
      return true;
    });
  };
  const begun = `as ${own} has begun, got`;
  await refused(
    '--bench.seed=7',
    'bench.seed',
    new RegExp(`^--bench.seed=7: bench.seed: expected 0, ${begun} 7$`),
  );
  await refused('--model.0.batch_size=24', 'model.0.batch_size', /expected 240, .* got 24$/);
  await refused('--model.0.params.units=[64]', 'model.0.params.units.0', /expected 128, .* got 64$/);
  await refused(
    '--model.0.params.neuron.params.tau=3',
    'model.0.params.neuron.params.tau',
    /expected 2, .* got 3$/,
  );
  await refused('--model.0.optimizer.kind=SGD', 'model.0.optimizer.kind', /expected "Adam", .* got "SGD"$/);
  await refused('--model.0.gradient_clip_val=1', 'model.0.gradient_clip_val', /expected nothing, .* got 1$/);
  await refused(
    '--dataset.params.split=ordered',
    'dataset.params.split',
    /expected nothing, .* got "ordered"$/,
  );
  await refused(
    '--learningframework.params.loss=mse',
    'learningframework.params.loss',
    /"crossentropy", .* got "mse"$/,
  );
  await refused('--bench.first_run=1', 'bench.last_run', /first_run/);
  await refused('--model.0.train=False', 'model.0.train', /expected true, .* got false$/);
  await assert.rejects(
    run(['--bench.name=changes', '--bench.first_run=3', '--bench.last_run=4'], { resume: own }),
    /^ConfigError: resume: expected the folder of a run of .*digits.toml, got that of run 0 of the model smlp$/,
  );
  renameSync(own, join(folder, 'elsewhere'));
  const allowed = [
    '--bench.name=other',
    '--model.0.name=renamed',
    '--model.0.epochs=2',
    '--model.0.early_stopping={ monitor = "train_loss" }',
    '--model.0.checkpoint={ keep = 2 }',
    '--learningframework.params.enable_progress_bar=False',
  ];
  const { results } = await run(allowed, { resume: join(folder, 'elsewhere') });
  assert.deepEqual([results[0]?.folder, results[0]?.interrupted], [join(folder, 'elsewhere'), false]);
  assert.ok(!existsSync(join(folder, 'other')));
});

test('early stopping is told', async () => {
  const stopping = '--model.0.early_stopping={ monitor = "train_acc", mode = "min", patience = 1 }';
  const { events } = await run(['--bench.name=early', '--model.0.epochs=9', stopping]);
  assert.deepEqual(
    events.filter(({ event }) => event === 'early-stop'),
    [{ event: 'early-stop', epoch: 2 }],
  );
});

test('without checkpoints a run begins anew in its folder', async () => {
  const off = ['--model.0.checkpoint=False'];
  await run(['--bench.name=off', ...off], {}, 8);
  const own = join(folder, 'off', 'smlp_r0');
  assert.ok(!existsSync(join(own, 'checkpoints')));
  const { events } = await run(['--bench.name=off', ...off], { resume: true });
  assert.ok(!names(events).includes('resume'));
  await run(['--bench.name=off-whole', ...off]);
  assert.deepEqual(filesOf(own), filesOf(join(folder, 'off-whole', 'smlp_r0')));
});
