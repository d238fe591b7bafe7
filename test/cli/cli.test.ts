import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { MemoryInfo } from '../../lib/cli/task.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'spikenode-cli-'));
after(() => rmSync(folder, { recursive: true }));

const digits = join(root, 'examples', 'digits.toml');
const withoutNative = { ...process.env, SPIKENODE_BINARIES: join(folder, 'nowhere') };

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    cwd: folder,
    env,
    encoding: 'utf8',
  });
  return { code: status, out: stdout, err: stderr };
}

function events(out: string): Record<string, unknown>[] {
  return out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

// The experiment of the examples with one change, in the temporary folder.
function variant(name: string, from: string, to: string): string {
  const text = readFileSync(digits, 'utf8');
  assert.ok(text.includes(from), from);
  writeFileSync(join(folder, name), text.replace(from, to));
  return name;
}

function withPlugin(name: string, fixture: string): string {
  const file = join(root, 'test', 'cli', 'fixtures', fixture);
  return variant(name, '[bench]', `[bench]\nplugins = ["${file}"]`);
}

test('help and version come without libtorch', () => {
  const help = run(['--help'], withoutNative);
  assert.equal(help.code, 0);
  for (const command of ['train', 'evaluate', 'predict', 'info', 'init'])
    assert.match(help.out, new RegExp(command));
  assert.match(help.out, /Exit codes: 0 .* 1 .* 2 .* 130 and 143/);
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  assert.deepEqual(run(['--version'], withoutNative), { code: 0, out: `${version}\n`, err: '' });
});

test('wrong usage has the exit code 2', () => {
  for (const args of [
    ['trian'],
    ['train'],
    [],
    ['evaluate'],
    ['evaluate', 'x', '--part=y'],
    ['init', 'a', 'b'],
  ]) {
    const { code, out } = run(args, withoutNative);
    assert.deepEqual([code, out], [2, ''], args.join(' '));
  }
});

test('a wrong configuration is one line with its place and the exit code 2, before libtorch is loaded', () => {
  const file = variant('wrong.toml', 'epochs = 30', 'epochs = 0.5');
  for (const command of ['train', 'info']) {
    const { code, out, err } = run([command, file], withoutNative);
    assert.equal(err, 'wrong.toml:22:10: model.0.epochs: expected an integer >= 0, got 0.5\n');
    assert.deepEqual([code, out], [2, '']);
  }
  const typed = join('..', relative(join(folder, '..'), folder), file);
  assert.ok(run(['train', typed], withoutNative).err.startsWith(`${typed}:22:10: `));
  assert.deepEqual(run(['train', digits, '--model.0.epochs=x', '--json'], withoutNative), {
    code: 2,
    out: '',
    err: '--model.0.epochs=x: model.0.epochs: expected an integer >= 0, got "x"\n',
  });
  assert.equal(run(['train', 'none.toml']).err, 'none.toml: expected an experiment file, got no such file\n');
});

test('a missing libtorch is a sentence and the exit code 1', () => {
  const { code, err } = run(['train', digits], withoutNative);
  assert.equal(code, 1);
  assert.match(err, /^error: The native files of spikenode were not found\. Tried:\n.*nowhere/m);
  assert.doesNotMatch(err, /^\s+at /m);
});

test('init writes an experiment that is right, and does not overwrite', () => {
  const first = run(['init', 'new'], withoutNative);
  assert.equal(first.code, 0);
  const file = join('new', 'digits.toml');
  assert.ok(first.out.includes(file));
  assert.equal(readFileSync(join(folder, file), 'utf8'), readFileSync(digits, 'utf8'));
  assert.equal(run(['init', 'new'], withoutNative).code, 1);
});

test('train in a pipe writes lines and a folder; evaluate, predict and info go with it', () => {
  const { code, out, err } = run(['train', digits, '--model.0.epochs=2', '--bench.last_run=1']);
  assert.equal(code, 0, err);
  const lines = out.trimEnd().split('\n');
  const runs = ['r0', 'r1'].flatMap((name, i) => [
    new RegExp(`^smlp, run ${i}: 9610 parameters, seed ${i}, in runs/digits/smlp_${name}$`),
    /^epoch 1\/2 {2}loss \d\.\d{4} {2}accuracy \d+\.\d\d %$/,
    /^epoch 2\/2 /,
    /^train loss: /,
    /^train accuracy: /,
    /^test loss: /,
    /^test accuracy: \d+\.\d\d %$/,
    /^test confusion matrix /,
    ...Array.from({ length: 11 }, () => /^ +\d+( +\d+){9,10}$/),
  ]);
  const expected = [...runs, /^test accuracy: \d+\.\d\d % \(mean of 2 runs, \d+\.\d\d % to \d+\.\d\d %\)$/];
  assert.equal(lines.length, expected.length, out);
  for (const [i, pattern] of expected.entries()) assert.match(lines[i]!, pattern);
  assert.equal(err, '');

  const [evaluation] = events(run(['evaluate', 'runs/digits/smlp_r1', '--json']).out);
  const metrics = readFileSync(join(folder, 'runs/digits/smlp_r1/metrics.jsonl'), 'utf8');
  const records = events(metrics);
  assert.deepEqual(
    records.map((record) => record['event']),
    ['epoch', 'epoch', 'evaluation'],
  );
  const measured = evaluation?.['metrics'] as Record<string, number>;
  for (const [name, value] of Object.entries(measured)) assert.deepEqual(records[2]![name], value);
  assert.equal(
    (records[2]!['cm'] as number[][]).flat().reduce((sum, count) => sum + count, 0),
    360,
  );
  assert.equal(run(['evaluate', 'runs/digits/smlp_r1']).out, `${lines.slice(24, 38).join('\n')}\n`);

  const rows = gunzipSync(readFileSync(join(root, 'data/digits.csv.gz')))
    .toString()
    .trimEnd()
    .split('\n');
  const samples = rows.map((row) => row.split(',').map(Number));
  writeFileSync(join(folder, 'x.csv'), rows.map((row) => row.slice(0, row.lastIndexOf(','))).join('\n'));
  writeFileSync(join(folder, 'x.json'), JSON.stringify(samples.map((row) => row.slice(0, 64))));
  const header = Buffer.alloc(16);
  for (const [i, value] of [0x803, samples.length, 8, 8].entries()) header.writeUInt32BE(value, 4 * i);
  const pixels = Buffer.from(samples.flatMap((row) => row.slice(0, 64)));
  writeFileSync(join(folder, 'x-idx3-ubyte'), Buffer.concat([header, pixels]));
  const classes = run(['predict', 'runs/digits/smlp_r1', 'x.csv']).out.trimEnd().split('\n').map(Number);
  const right = classes.filter((found, i) => found === samples[i]![64]).length;
  const train = records[2]!['train_acc'] as number;
  const expectedRight = Math.round(1437 * train + 360 * measured['test_acc']!);
  assert.equal(right, expectedRight);
  for (const file of ['x.json', 'x-idx3-ubyte']) {
    const found = events(run(['predict', 'runs/digits/smlp_r1', file, '--json']).out);
    assert.deepEqual(
      found.map((prediction) => prediction['class']),
      classes,
    );
    assert.equal((found[0]!['outputs'] as number[]).length, 10);
  }

  // The configuration in the folder repeats the run.
  const again = run(['train', 'runs/digits/smlp_r1/config.toml']);
  assert.equal(again.code, 0, again.err);
  assert.match(again.out, /in runs\/digits\/smlp_r1-2\n/);
  const weights = (name: string): Buffer =>
    readFileSync(join(folder, `runs/digits/${name}/weights.safetensors`));
  assert.ok(weights('smlp_r1').equals(weights('smlp_r1-2')));
  assert.ok(!weights('smlp_r1').equals(weights('smlp_r0')));
});

test('info shows layers, shapes and parameters, and leaves no folder', () => {
  const { code, out } = run(['info', digits, '--bench.name=unused']);
  assert.equal(code, 0);
  assert.match(out, /^smlp: SMLP, 4 time steps, \[4,8,8,1\] -> \[10\]$/m);
  assert.match(out, /^ {2}layers\.fc1 +Linear +\[4, 1, 128\] +8320$/m);
  assert.match(out, /^ {2}9610 parameters$/m);
  assert.ok(!existsSync(join(folder, 'runs/unused')));
  const [model] = events(run(['info', digits, '--json']).out);
  assert.equal(model?.['parameters'], 9610);
});

test('what does not fit the data is told with its place by info and train, and leaves no folder', () => {
  const file = variant('big.toml', 'kind = "SMLP"', 'kind = "SCNN"');
  const text = readFileSync(join(folder, file), 'utf8');
  const sizes =
    'strides = [1]\n  pool_sizes = [2]\n  fc_units = []\n  dims = 2\n  paddings = [1]\n  filters = [4]';
  const mistake = `${sizes}\n  kernel_sizes = [13]`;
  writeFileSync(join(folder, file), text.replace('units = [128]', mistake));
  const row = text.split('\n').findIndex((line) => line.includes('units = [128]')) + 7;
  const expected =
    'model.0.params.kernel_sizes.0: expected a size that fits into a map of 8 x 8 with a padding of 1 x 1, got 13 x 13';
  for (const command of ['info', 'train']) {
    const { code, out, err } = run([command, file, '--bench.name=big']);
    assert.deepEqual([code, out, err], [2, '', `big.toml:${row}:19: ${expected}\n`]);
  }
  assert.ok(!existsSync(join(folder, 'runs/big')));
});

test('info --memory measures a step and an evaluation, and needs no data where the shapes are given', () => {
  const table = run(['info', digits, '--memory']);
  assert.equal(table.code, 0, table.err);
  assert.match(table.out, /^ {2}memory, 64 samples +training step +predicted +evaluation +predicted$/m);
  assert.match(table.out, /^ {2}parameters +37\.6 KiB +37\.6 KiB +37\.6 KiB +37\.6 KiB$/m);
  assert.match(table.out, /^ {2}peak +\d+\.\d KiB/m);

  const shapes = ['--model.0.params.input_shape=[28,28,1]', '--model.0.params.output_shape=[10]'];
  const nowhere = [
    '--dataset.kind=MNIST',
    '--dataset.params.path=nowhere',
    '--model.0.batch_size=32',
    '--model.0.params.units=[300]',
  ];
  assert.match(run(['info', digits, '--memory', ...nowhere]).err, /nowhere/);
  const { code, out, err } = run(['info', digits, '--memory', '--json', ...shapes, ...nowhere]);
  assert.equal(code, 0, err);
  const [, own] = events(out) as [unknown, MemoryInfo];
  assert.deepEqual([own.event, own.name, own.batchSize], ['memory', 'smlp', 32]);
  for (const work of ['training', 'evaluation'] as const) {
    const [measured, predicted] = [own.measured[work]!.peak, own.predicted[work]!.peak];
    assert.ok(Math.abs(predicted - measured) < 0.1 * measured, out);
  }
  assert.ok(own.measured.training!.peak > 4 * 4 * (784 * 300 + 300));
  const untrained = run(['info', digits, '--memory', '--json', '--model.0.train=False']).out;
  assert.equal((events(untrained) as [unknown, MemoryInfo])[1].measured.training, null);
});

test('--json writes an object a line', () => {
  const { code, out } = run(['train', digits, '--json', '--model.0.epochs=1', '--runs', 'elsewhere']);
  assert.equal(code, 0);
  const names = events(out).map((event) => event['event']);
  assert.deepEqual(names, ['start', 'epoch', 'evaluation', 'evaluation', 'end']);
  assert.ok(existsSync(join(folder, 'elsewhere/digits/smlp_r0/weights.safetensors')));
});

test('samples and folders that are wrong', () => {
  run(['train', digits, '--model.0.epochs=0', '--model.0.evaluate=False', '--bench.name=raw']);
  const trained = 'runs/raw/smlp_r0';
  const predict = (name: string, content: string | Buffer): Outcome => {
    writeFileSync(join(folder, name), content);
    return run(['predict', trained, name]);
  };
  for (const [name, content, message] of [
    ['a.csv', '1,2,3\n', 'a.csv: expected 64 values for shape [8,8,1], got 3 in sample 1'],
    ['b.csv', '1,x\n', 'b.csv:1: expected numbers with commas between them, got "x"'],
    ['c.csv', '1,\n', 'c.csv:1: expected numbers with commas between them, got ""'],
    ['d.json', '{}', 'd.json: expected a list of samples'],
    [
      'e.json',
      JSON.stringify([[...new Array(63).fill(0), '1']]),
      'e.json: expected a number at value 64 of sample 1',
    ],
    ['f.gz', 'no gzip', 'f.gz: expected an IDX file, got damaged gzip data (incorrect header check)'],
    ['g.csv.gz', 'no gzip', 'g.csv.gz: expected samples, got incorrect header check'],
  ] as const) {
    assert.deepEqual(predict(name, content), { code: 1, out: '', err: `error: ${message}\n` }, name);
  }
  assert.match(predict('h.json', '[').err, /^error: h\.json: expected JSON, got /);
  assert.match(
    run(['predict', trained, 'none.csv']).err,
    /^error: none\.csv: expected samples, got no such file$/m,
  );
  const missing = run(['evaluate', 'nowhere']);
  assert.deepEqual([missing.code, missing.out], [2, '']);
  assert.match(missing.err, /^nowhere: expected the folder of a run/);
  assert.equal(run(['evaluate', trained, '--part=valid']).code, 2);
  cpSync(join(folder, trained), join(folder, 'damaged'), { recursive: true });
  writeFileSync(join(folder, 'damaged/weights.safetensors'), 'nothing');
  const damaged = run(['evaluate', 'damaged']);
  assert.equal(damaged.code, 1);
  assert.match(damaged.err, /^error: .*weights\.safetensors/);
});

test('load without former weights is an error of the configuration; with them it goes on', () => {
  const load = ['train', digits, '--bench.name=loads', '--model.0.load=True', '--model.0.train=False'];
  const missing = run(load);
  assert.equal(missing.code, 2);
  assert.match(
    missing.err,
    /model\.0\.load: expected the weights of a former run in runs\/loads\/smlp_r0, got none/,
  );
  assert.ok(!existsSync(join(folder, 'runs/loads')));
  const first = run(['train', digits, '--bench.name=loads', '--model.0.epochs=1']);
  const second = run(load);
  assert.equal(second.code, 0, second.err);
  assert.equal(second.out.split('\n').at(-2), first.out.split('\n').at(-2));
});

test("errors in a user's module are told without a stack trace", () => {
  const taken = run(['train', withPlugin('taken.toml', 'taken-name.js')], withoutNative);
  assert.equal(taken.code, 2);
  assert.equal(
    taken.err,
    'taken.toml:5:12: bench.plugins.0: expected a new name for the model kind, got one that exists already (SMLP)\n',
  );
  const file = withPlugin('broken.toml', 'broken-forward.js');
  const text = readFileSync(join(folder, file), 'utf8')
    .replace('"SMLP"', '"Broken"')
    .replace('units = [128]', '');
  writeFileSync(join(folder, file), text);
  const broken = run(['train', file]);
  assert.equal(broken.code, 1);
  assert.match(broken.err, /^error: TypeError: .*undefined.* \(at .*broken-forward\.js:\d+:\d+\)$/m);
  assert.doesNotMatch(broken.err, /^\s+at /m);
  const later = run(['train', withPlugin('later.toml', 'throws-later.js')]);
  assert.deepEqual([later.code, later.out], [1, '']);
  assert.match(later.err, /^error: RangeError: thrown later/);
  const left = run(['train', withPlugin('leaves.toml', 'leaves.js')]);
  assert.deepEqual([left.code, left.err], [1, 'error: the worker ended with exit code 7\n']);
});

function start(args: readonly string[]): {
  child: ChildProcess;
  until(text: string): Promise<void>;
  end: Promise<Outcome>;
} {
  const child = spawn(process.execPath, [main, ...args], { cwd: folder });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const end = new Promise<Outcome>((resolve) => child.on('close', (code) => resolve({ code, out, err })));
  const until = async (text: string): Promise<void> => {
    while (!(out + err).includes(text)) {
      assert.equal(child.exitCode, null, `ended before "${text}": ${out}${err}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  return { child, until, end };
}

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} finishes the step, writes what was learned and exits with ${expected}`, async () => {
    const { child, until, end } = start([
      'train',
      digits,
      '--model.0.epochs=1000000',
      `--bench.name=${signal}`,
    ]);
    await until('epoch       2/');
    child.kill(signal);
    const { code, out, err } = await end;
    assert.equal(code, expected, err);
    const own = `runs/${signal}/smlp_r0`;
    const args = [digits, '--model.0.epochs=1000000', `--bench.name=${signal}`, '--resume', own];
    assert.deepEqual(out.trimEnd().split('\n').slice(-2), [
      `interrupted; what was learned is in ${own}`,
      `to go on: spikenode train ${args.join(' ')}`,
    ]);
    assert.match(err, new RegExp(`^note: ${signal}: finishing the step`, 'm'));
    const evaluated = run(['evaluate', own]);
    assert.equal(evaluated.code, 0, evaluated.err);
    const metrics = readFileSync(join(folder, own, 'metrics.jsonl'), 'utf8');
    assert.deepEqual(events(metrics).at(-1), { event: 'interrupted' });
  });
}

test('a folder that cannot be made is a sentence', () => {
  writeFileSync(join(folder, 'taken'), '');
  const reason = 'cannot be written: there is a file where a folder should be';
  for (const [runs, parent] of [
    ['taken', 'taken/digits'],
    ['taken/deeper', 'taken/deeper/digits'],
  ] as const) {
    const { code, err } = run(['train', digits, '--runs', runs]);
    assert.equal(code, 1);
    assert.match(err, new RegExp(`^error: ${parent}: ${reason} \\((EEXIST|ENOTDIR)\\)\n$`));
  }
  mkdirSync(join(folder, 'half'));
  writeFileSync(join(folder, 'half', 'digits'), '');
  const { code, err } = run(['train', digits, '--runs', 'half', '--resume']);
  const unread = 'half/digits: cannot be read: there is a file where a folder should be (ENOTDIR)';
  assert.deepEqual([code, err], [1, `error: ${unread}\n`]);
  // A file system that takes no folders.
  if (!existsSync('/proc/self')) return;
  const proc = run(['train', digits, '--runs', '/proc/runs']);
  assert.deepEqual(
    [proc.code, proc.err.startsWith('error: /proc/runs/digits: cannot be written: ')],
    [1, true],
  );
});

test('what cannot be resumed is a sentence', () => {
  const none = run(['train', digits, '--bench.name=unknown', '--resume']);
  assert.deepEqual(
    [none.code, none.err],
    [2, 'resume: expected a run of this experiment in runs/unknown, got none\n'],
  );
  const empty = run(['train', digits, '--resume', 'nowhere']);
  assert.deepEqual(
    [empty.code, empty.err],
    [2, 'resume: expected the folder of a run, got nowhere, which has no run.json\n'],
  );
  const short = ['train', digits, '--model.0.epochs=2', '--bench.name=finished'];
  const first = run(short);
  assert.equal(first.code, 0, first.err);
  const again = run([...short, '--resume']);
  assert.deepEqual(again, {
    code: 0,
    out: 'smlp, run 0: finished already, in runs/finished/smlp_r0\n',
    err: '',
  });
  const changed = run([...short, '--model.0.batch_size=32', '--resume', 'runs/finished/smlp_r0']);
  assert.deepEqual(changed, {
    code: 2,
    out: '',
    err: '--model.0.batch_size=32: model.0.batch_size: expected 64, as runs/finished/smlp_r0 has begun, got 32\n',
  });
  const file = variant('slower.toml', 'lr = 5e-3', 'lr = 5e-4');
  const slower = run(['train', file, ...short.slice(2), '--resume']);
  const place = 'slower.toml:42:19: model.0.optimizer.params.lr';
  assert.equal(slower.err, `${place}: expected 0.005, as runs/finished/smlp_r0 has begun, got 0.0005\n`);
  const more = run([...short.slice(0, 2), '--model.0.epochs=4', '--bench.name=finished', '--resume']);
  assert.equal(more.code, 0, more.err);
  assert.match(more.out, /\ngoing on after epoch 2\nepoch 3\/4 .*\nepoch 4\/4 /);
});

test('a damaged checkpoint is a sentence, and stays', () => {
  const args = ['train', digits, '--model.0.epochs=1', '--bench.name=damage'];
  run(args);
  const checkpoint = 'runs/damage/smlp_r0/checkpoints/epoch-1-step-23';
  truncateSync(join(folder, checkpoint, 'tensors.safetensors'), 1000);
  const { code, err } = run([...args, '--model.0.epochs=2', '--resume']);
  assert.equal(code, 1);
  assert.match(
    err,
    new RegExp(`^error: ${checkpoint}: the checkpoint is damaged: tensors.safetensors: .*\n$`),
  );
  assert.ok(existsSync(join(folder, checkpoint, 'state.json')));
});

test('the parameters of the original for its trainer are accepted', () => {
  const keys = 'accelerator = "gpu", devices = 2, precision = 32, enable_progress_bar = false';
  const more = 'progress_bar_refresh_rate = 10, enable_confusion_matrix = false';
  const file = variant('trainer.toml', 'loss = "crossentropy"', `extra = 1`);
  const text = readFileSync(join(folder, file), 'utf8');
  const params = `[learningframework]\nparams = { loss = "crossentropy", ${keys}, ${more} }`;
  writeFileSync(
    join(folder, file),
    text.replace('[learningframework]', params).replace('  [learningframework.params]\n  extra = 1\n', ''),
  );
  const { code, err } = run(['train', file, '--model.0.epochs=1', '--bench.name=trainer']);
  assert.deepEqual(
    [code, err.split('\n')],
    [
      0,
      [
        'note: learningframework.params.accelerator: "gpu" is accepted; experiments are trained on the CPU',
        'note: learningframework.params.devices: 2 is accepted; training uses one device',
        '',
      ],
    ],
  );
  const mixed = run(['train', digits, '--learningframework.params.precision=64']);
  assert.equal(mixed.code, 2);
  assert.match(mixed.err, /precision: expected 32, "bf16-mixed" or "16-mixed", got 64/);
});

test('a second signal ends at once', async () => {
  const { child, until, end } = start(['train', withPlugin('endless.toml', 'endless.js')]);
  await until('looping');
  child.kill('SIGINT');
  await until('SIGINT: finishing');
  child.kill('SIGINT');
  assert.equal((await end).code, 130);
});
