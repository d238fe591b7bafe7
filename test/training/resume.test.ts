import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { CheckpointError, ConfigError } from '../../lib/errors.js';
import { Dropout } from '../../lib/layer/index.js';
import { BatchNorm1d, Flatten, Linear, type Module, Sequential } from '../../lib/nn/index.js';
import { SNN } from '../../lib/snn.js';
import { manualSeed, memory, randn, setNumThreads, type Tensor } from '../../lib/tensor/index.js';
import {
  type EpochMetrics,
  type FitOptions,
  type FitResult,
  fit,
  frameworks,
  type ResumeInfo,
  SpikingJellyMultiStep,
} from '../../lib/training/index.js';
import { collectGarbage } from '../tensor/helpers.js';
import { samples } from './helpers.js';

const root = mkdtempSync(join(tmpdir(), 'spikenode-resume-'));
after(() => rmSync(root, { recursive: true }));

let folders = 0;
const newFolder = (): string => join(root, `${folders++}`);

// All that has a memory: running statistics, dropout, neurons.
class Net extends SNN {
  readonly layers: Sequential;

  constructor(tau: number = 2) {
    const params = { tau, step_mode: 'm', detach_reset: true, surrogate_function: 'ATan' };
    super({ inputShape: [4, 1], outputShape: [3], timesteps: 3, neuron: { kind: 'LIFNode', params } });
    const mode = { stepMode: this.stepMode };
    this.layers = new Sequential(
      new Flatten(mode),
      new Linear(4, 16, mode),
      new BatchNorm1d(16, mode),
      this.createNeuron(),
      new Dropout(0.3, mode),
      new Linear(16, 3, mode),
    );
  }

  override forward(x: Tensor): Tensor {
    return this.layers.forward(x);
  }
}

function net(seed: number, tau?: number): Net {
  manualSeed(seed);
  return new Net(tau);
}

/** Weights and buffers, to the bit. */
function bitsOf(model: Module): unknown {
  return Object.entries(model.stateDict()).map(([name, value]) => [
    name,
    Buffer.from(bytesOf(value)).toString('hex'),
  ]);
}

function bytesOf(value: Tensor): Uint8Array {
  const { buffer, byteOffset, byteLength } = value.toTypedArray();
  return new Uint8Array(buffer, byteOffset, byteLength);
}

const data = samples(44);
const validation = samples(20, 2);
const usual: FitOptions = {
  epochs: 4,
  batchSize: 16,
  seed: 3,
  validation,
  optimizer: {
    kind: 'Adam',
    params: { lr: 0.02, amsgrad: true },
    scheduler: { kind: 'CosineAnnealingLR', params: { T_max: 4 } },
  },
  framework: { params: { use_best_epoch: true, checkpoint_metric: { name: 'val_loss', mode: 'min' } } },
};

/** A training that aborts after so many steps of the whole. */
async function stopped(model: Net, options: FitOptions, steps: number): Promise<FitResult> {
  const stop = new AbortController();
  let seen = 0;
  const onStep = (): void => {
    if (++seen === steps) stop.abort();
  };
  return await fit(model, data, { ...options, signal: stop.signal, onStep });
}

for (const [name, options] of Object.entries<Partial<FitOptions>>({
  'Adam, cosine, dropout, batch normalisation, best epoch': {},
  'SGD with momentum, step decay, clipped': {
    optimizer: {
      kind: 'SGD',
      params: { lr: 0.1, momentum: 0.9, nesterov: true },
      scheduler: { kind: 'StepLR', params: { step_size: 2 } },
    },
    gradientClipVal: 0.5,
  },
  'accumulated batches, no seed': { accumulateGradBatches: 2, seed: undefined },
  'RMSprop, a rate that follows the loss': {
    optimizer: {
      kind: 'RMSprop',
      params: { lr: 0.01, momentum: 0.9 },
      scheduler: { kind: 'ReduceLROnPlateau', params: { patience: 0, threshold: 0.5 } },
    },
  },
  'NAdam, a rate that changes in each step': {
    optimizer: {
      kind: 'NAdam',
      scheduler: { kind: 'OneCycleLR', params: { max_lr: 0.05, total_steps: 20 }, interval: 'step' },
    },
  },
  'float16 with scaled losses, clipped': {
    framework: { params: { precision: '16-mixed' } },
    gradientClipVal: 1,
  },
  bfloat16: { framework: { params: { precision: 'bf16-mixed' } } },
  'early stopping': { epochs: 9, earlyStopping: { monitor: 'train_acc', mode: 'max', patience: 2 } },
})) {
  test(`a training that was stopped after any step goes on to the same bits: ${name}`, async () => {
    const all = { ...usual, ...options };
    const whole = net(0);
    const expected = await fit(whole, data, all);
    const steps = 3 * expected.epochs.length;
    for (let step = 1; step <= steps; step += name.startsWith('Adam') ? 1 : 4) {
      const checkpoint = { folder: newFolder() };
      const { interrupted } = await stopped(net(0), { ...all, checkpoint }, step);
      // Another seed: nothing may come from what the second network begins with.
      const second = net(100 + step);
      const result = await fit(second, data, { ...all, checkpoint, resume: true });
      assert.equal(interrupted, true);
      assert.deepEqual(result, expected, `stopped after step ${step}`);
      assert.deepEqual(bitsOf(second), bitsOf(whole), `stopped after step ${step}`);
    }
  });
}

test('one that is stopped after every step, and one with a checkpoint after every step, end the same', async () => {
  const whole = net(0);
  const expected = await fit(whole, data, usual);
  const checkpoint = { folder: newFolder() };
  for (let life = 0; ; life++) {
    const model = net(life);
    const result = await stopped(model, { ...usual, checkpoint, resume: true }, 1);
    if (result.interrupted) continue;
    assert.equal(life, 12);
    assert.deepEqual(result, expected);
    assert.deepEqual(bitsOf(model), bitsOf(whole));
    break;
  }
  const often = { folder: newFolder(), everySteps: 1, keep: 100 };
  await fit(net(0), data, { ...usual, checkpoint: often });
  const names = readdirSync(often.folder);
  assert.equal(names.length, 16);
  for (const name of names) {
    const model = net(8);
    const result = await fit(model, data, { ...usual, resume: join(often.folder, name) });
    assert.deepEqual(result, expected, name);
    assert.deepEqual(bitsOf(model), bitsOf(whole), name);
  }
});

test('an abort in the validation goes on from before it', async () => {
  // As an encoder does that draws its spikes: the validation takes random numbers too.
  const noisy = (seed: number): Net => {
    const made = net(seed);
    made.registerForwardHook(() => void randn([1]));
    return made;
  };
  const whole = noisy(0);
  const expected = await fit(whole, data, usual);
  const checkpoint = { folder: newFolder() };
  const stop = new AbortController();
  const model = noisy(0);
  let validated = 0;
  model.registerForwardHook((own) => {
    if (!(own as Module).training && ++validated === 3) stop.abort();
  });
  const first = await fit(model, data, { ...usual, checkpoint, signal: stop.signal });
  assert.equal(first.interrupted, true);
  assert.ok(!('val_loss' in first.epochs.at(-1)!));
  const infos: ResumeInfo[] = [];
  const second = noisy(1);
  const onResume = (info: ResumeInfo): void => void infos.push(info);
  assert.deepEqual(await fit(second, data, { ...usual, checkpoint, resume: true, onResume }), expected);
  assert.deepEqual(bitsOf(second), bitsOf(whole));
  const [info] = infos;
  assert.deepEqual([info?.epochs, info?.batches, info?.notes], [expected.epochs.slice(0, 1), 3, []]);
  assert.equal(info?.checkpoint, join(checkpoint.folder, 'epoch-1-step-6'));
});

test('states that a framework keeps from batch to batch are in the checkpoint', async () => {
  class Streaming extends SpikingJellyMultiStep {
    override readonly keepsStates = true;

    override forward(model: SNN, x: Tensor): Tensor {
      for (const module of model.modules()) if ('detach' in module) (module.detach as () => void)();
      const outputs = model.forward(x.unsqueeze(0).expand([model.timesteps, ...x.shape]) as never);
      return (outputs as Tensor).mean(0);
    }
  }
  frameworks.register('Streaming', Streaming);
  const options: FitOptions = {
    ...usual,
    batchSize: 22,
    framework: { kind: 'Streaming' },
    validation: undefined,
  };
  const whole = net(0);
  const expected = await fit(whole, data, options);
  for (const step of [1, 2, 3, 7]) {
    const checkpoint = { folder: newFolder() };
    await stopped(net(0), { ...options, checkpoint }, step);
    const second = net(1);
    assert.deepEqual(await fit(second, data, { ...options, checkpoint, resume: true }), expected);
    assert.deepEqual(bitsOf(second), bitsOf(whole));
  }
});

test('checkpoints: when, how many, and what is in the folder', async () => {
  const left = async (own: object): Promise<string> => {
    const folder = newFolder();
    await fit(net(0), data, { ...usual, epochs: 3, checkpoint: { folder, ...own } });
    return readdirSync(folder).sort().join(' ');
  };
  assert.equal(await left({}), 'epoch-3-step-9');
  assert.equal(await left({ keep: 9 }), 'epoch-1-step-3 epoch-2-step-6 epoch-3-step-9');
  assert.equal(await left({ keep: 9, everyEpochs: 2 }), 'epoch-2-step-6 epoch-3-step-9');
  assert.equal(
    await left({ keep: 9, everyEpochs: 2, everySteps: 2 }),
    'epoch-0-step-2 epoch-1-step-4 epoch-1-step-6 epoch-2-step-6 epoch-2-step-8 epoch-3-step-9',
  );
  const folder = newFolder();
  await fit(net(0), data, { ...usual, epochs: 3, checkpoint: { folder, everySteps: 1, keep: 2 } });
  assert.deepEqual(readdirSync(folder).sort(), ['epoch-2-step-9', 'epoch-3-step-9']);
  const last = join(folder, 'epoch-3-step-9');
  assert.deepEqual(readdirSync(last).sort(), ['state.json', 'tensors.safetensors']);
  const { state } = JSON.parse(readFileSync(join(last, 'state.json'), 'utf8'));
  assert.deepEqual([state.epoch, state.batch, state.steps, state.order_seed, state.scaler], [4, 0, 9, 3, {}]);
  assert.equal(state.epochs.length, 3);
});

test('a finished training goes on with more epochs', async () => {
  const whole = net(0);
  const expected = await fit(whole, data, usual);
  const checkpoint = { folder: newFolder() };
  await fit(net(0), data, { ...usual, epochs: 2, checkpoint });
  const model = net(1);
  assert.deepEqual(await fit(model, data, { ...usual, checkpoint, resume: true }), expected);
  assert.deepEqual(bitsOf(model), bitsOf(whole));
  await rejects(fit(net(0), data, { ...usual, epochs: 3, checkpoint, resume: true }), ConfigError, [
    /^epochs: expected at least 4, where .*epoch-4-step-12 is, got 3$/,
  ]);
});

async function rejects(
  promise: Promise<unknown>,
  kind: abstract new (...args: never[]) => Error,
  texts: readonly RegExp[],
): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof kind, `${error}`);
    for (const text of texts) assert.match(error.message, text);
    return true;
  });
}

test('a checkpoint of another training is refused, and says what differs', async () => {
  const checkpoint = { folder: newFolder() };
  const same = net(0);
  await fit(same, data, { ...usual, epochs: 1, checkpoint });
  const before = memory().tensors;
  const differs = async (
    options: Partial<FitOptions>,
    text: RegExp,
    model = same,
    own = data,
  ): Promise<void> =>
    rejects(fit(model, own, { ...usual, ...options, checkpoint, resume: true }), CheckpointError, [
      /^\S*epoch-1-step-3: the checkpoint is of another training: /,
      text,
    ]);
  const { scheduler, ...adam } = usual.optimizer!;
  await differs({ batchSize: 8 }, /: batchSize was 16, is 8$/);
  await differs({ seed: 4 }, /: seed was 3, is 4$/);
  await differs({ accumulateGradBatches: 2 }, /: accumulateGradBatches was 1, is 2$/);
  await differs({ optimizer: { kind: 'SGD' } }, /: optimizer.kind was "Adam", is "SGD"$/);
  await differs(
    { optimizer: { ...adam, params: { lr: 0.1 }, scheduler } },
    /optimizer.params.lr was 0.02, is 0.1$/,
  );
  await differs({ optimizer: adam }, /: optimizer.scheduler was \{.*\}, is nothing$/);
  await differs({ framework: {} }, /: framework.params.use_best_epoch was true, is nothing$/);
  await differs({}, /: data.sha256 was /, same, samples(44, 9));
  await differs({}, /: data.length was 44, is 45$/, same, samples(45));
  await differs({ validation: samples(20, 3) }, /: validation.sha256 was /);
  await differs({}, /: model.modules.5 was ".*LIFNode.*tau=2.*", is ".*tau=4.*"$/, net(0, 4));
  await differs({}, /: model.state.* was "float32\[.*\]", is "float64\[.*\]"$/, net(0).to('float64'));
  const left = memory().tensors - before;
  assert.ok(left < 50, `${left} tensors are left`);
});

test('a damaged checkpoint is refused and stays; the one before can be used', async () => {
  const folder = newFolder();
  const checkpoint = { folder, keep: 2 };
  await fit(net(0), data, { ...usual, epochs: 2, checkpoint });
  const last = join(folder, 'epoch-2-step-6');
  const kept = join(root, 'kept');
  cpSync(last, kept, { recursive: true });
  const resume = (): Promise<unknown> => fit(net(0), data, { ...usual, checkpoint, resume: true });
  const files = { state: join(last, 'state.json'), tensors: join(last, 'tensors.safetensors') };
  const flip = (file: string, position: number): void => {
    const bytes = readFileSync(file);
    bytes[position]! ^= 1;
    writeFileSync(file, bytes);
  };
  for (const [what, damage, text] of [
    ['a truncated file of tensors', () => truncateSync(files.tensors, 5000), /tensors.safetensors: .* bytes/],
    ['an empty file of tensors', () => truncateSync(files.tensors, 0), /only 0 bytes/],
    [
      'a changed tensor',
      () => flip(files.tensors, readFileSync(files.tensors).length - 9),
      /the SHA-256 of tensors/,
    ],
    ['no tensors', () => rmSync(files.tensors), /cannot be read: no such file/],
    ['a truncated state', () => truncateSync(files.state, 100), /state.json is not JSON/],
    ['an empty state', () => truncateSync(files.state, 0), /state.json is not JSON/],
    ['a changed state', () => flip(files.state, 200), /state.json is not /],
    ['another object', () => writeFileSync(files.state, 'null'), /not as it was written/],
  ] as const) {
    damage();
    await rejects(resume(), CheckpointError, [/epoch-2-step-6: the checkpoint is damaged: /, text]);
    assert.ok(existsSync(last), what);
    rmSync(last, { recursive: true });
    cpSync(kept, last, { recursive: true });
  }
  rmSync(files.state);
  await rejects(resume(), CheckpointError, [
    /expected a checkpoint, but state.json cannot be read: no such file/,
  ]);
  const path = join(root, 'nowhere');
  await rejects(fit(net(0), data, { ...usual, resume: path }), CheckpointError, [
    /nowhere: expected a checkpoint/,
  ]);
  const whole = net(0);
  const expected = await fit(whole, data, usual);
  const model = net(1);
  const options = { ...usual, checkpoint, resume: join(folder, 'epoch-1-step-3') };
  assert.deepEqual(await fit(model, data, options), expected);
  assert.deepEqual(bitsOf(model), bitsOf(whole));
  assert.deepEqual(readdirSync(folder).sort(), ['epoch-3-step-9', 'epoch-4-step-12']);
});

test('what a crash leaves while it writes or removes a checkpoint does no harm', async () => {
  const folder = newFolder();
  const checkpoint = { folder };
  await fit(net(0), data, { ...usual, epochs: 1, checkpoint });
  cpSync(join(folder, 'epoch-1-step-3'), join(folder, '.tmp-half'), { recursive: true });
  truncateSync(join(folder, '.tmp-half', 'tensors.safetensors'), 10);
  const whole = net(0);
  const expected = await fit(whole, data, usual);
  assert.deepEqual(await fit(net(1), data, { ...usual, checkpoint, resume: true }), expected);
  assert.deepEqual(readdirSync(folder), ['epoch-4-step-12']);
});

test('a checkpoint that cannot be written is an error that names the last one', async () => {
  const folder = newFolder();
  writeFileSync(folder, '');
  await rejects(fit(net(0), data, { ...usual, checkpoint: { folder } }), CheckpointError, [
    /^\S+: cannot be written: there is a file where a folder should be \(EEXIST\)$/,
  ]);
  rmSync(folder);
  // After the second epoch the folder is gone, and there is a file in its place.
  const onEpoch = async ({ epoch }: EpochMetrics): Promise<void> => {
    if (epoch !== 2) return;
    while (!existsSync(join(folder, 'epoch-1-step-3')))
      await new Promise((resolve) => setTimeout(resolve, 1));
    renameSync(folder, `${folder}-moved`);
    writeFileSync(folder, '');
  };
  await rejects(fit(net(0), data, { ...usual, checkpoint: { folder }, onEpoch }), CheckpointError, [
    /epoch-2-step-6: cannot be written: there is a file where a folder should be \(ENOTDIR\)$/,
  ]);
  assert.ok(existsSync(join(`${folder}-moved`, 'epoch-1-step-3', 'state.json')));
});

test('options of checkpoints', async () => {
  const wrong = async (options: object, text: RegExp): Promise<void> =>
    rejects(fit(net(0), data, { ...usual, ...options }), ConfigError, [text]);
  await wrong({ checkpoint: {} }, /^checkpoint.folder: expected a non-empty string, got nothing$/);
  await wrong({ checkpoint: { folder: 'x', every: 1 } }, /^checkpoint.every: expected a known key/);
  await wrong({ checkpoint: { folder: 'x', keep: 0 } }, /^checkpoint.keep: expected an integer >= 1, got 0$/);
  await wrong(
    { resume: true },
    /^resume: expected the path of a checkpoint, since checkpoint.folder is not given/,
  );
  await wrong({ resume: 3 }, /^resume: expected true, false or the path of a checkpoint, got 3$/);
  const checkpoint = { folder: newFolder() };
  await fit(net(0), data, { ...usual, epochs: 1, checkpoint });
  await wrong(
    { checkpoint },
    /^checkpoint.folder: expected a folder without checkpoints, unless resume is given, got /,
  );
});

test('another number of threads is noted, and training goes on', async () => {
  const checkpoint = { folder: newFolder() };
  setNumThreads(1);
  await fit(net(0), data, { ...usual, epochs: 1, checkpoint });
  setNumThreads(2);
  const notes: string[] = [];
  const onResume = (info: ResumeInfo): void => void notes.push(...info.notes);
  const { epochs } = await fit(net(0), data, { ...usual, checkpoint, resume: true, onResume });
  assert.deepEqual(notes, ['threads: 1 before, 2 now; the last bits of results may differ']);
  assert.equal(epochs.length, 4);
});

test('a checkpoint from before devices were written goes on without a note', async () => {
  const checkpoint = { folder: newFolder() };
  await fit(net(0), data, { ...usual, epochs: 1, checkpoint });
  const state = join(checkpoint.folder, readdirSync(checkpoint.folder)[0]!, 'state.json');
  const text = readFileSync(state, 'utf8');
  const content = text.slice(text.indexOf('"state":') + 8, text.lastIndexOf('}'));
  const older = content.replace(',"device":"cpu"', '');
  assert.notEqual(older, content);
  const sumOf = (part: string): string => createHash('sha256').update(part).digest('hex');
  writeFileSync(state, text.replace(content, older).replace(sumOf(content), sumOf(older)));
  const notes: string[] = [];
  const onResume = (info: ResumeInfo): void => void notes.push(...info.notes);
  const { epochs } = await fit(net(0), data, { ...usual, checkpoint, resume: true, onResume });
  assert.deepEqual([notes, epochs.length], [[], 4]);
});

test('checkpoints leave no tensors behind', async () => {
  const model = net(0);
  const checkpoint = { folder: newFolder(), everySteps: 1 };
  await fit(model, data, { ...usual, epochs: 1, checkpoint });
  const counts: number[] = [];
  for (let epochs = 2; epochs < 6; epochs++) {
    await fit(model, data, { ...usual, epochs, checkpoint, resume: true });
    await collectGarbage();
    counts.push(memory().tensors);
  }
  assert.equal(new Set(counts).size, 1, counts.join());
});
