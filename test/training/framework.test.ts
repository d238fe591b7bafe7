import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, ShapeError } from '../../lib/errors.js';
import { SNN } from '../../lib/snn.js';
import { arange, type Tensor } from '../../lib/tensor/index.js';
import {
  CrossEntropy,
  type Framework,
  type FrameworkOptions,
  frameworks,
  type Loss,
  MeanSquaredError,
  requireStepMode,
  resolveFramework,
  SpikingJelly,
  SpikingJellyMultiStep,
  SpikingJellyMultiStepTimeStepsInData,
  SpikingJellyTimeStepsInData,
} from '../../lib/training/index.js';

// Gives each step's input times the number of the step since the last reset, flattened, and notes the inputs' shapes.
class Counting extends SNN {
  readonly inputs: (readonly number[])[] = [];
  step = 0;
  readonly counter = Object.assign(this.createNeuron(), {
    reset: (): void => {
      this.step = 0;
    },
  });

  override forward(x: Tensor): Tensor {
    this.inputs.push(x.shape);
    if (this.stepMode === 's') {
      this.step += 1;
      return x.flatten(1).mul(this.step);
    }
    const steps = x.shape[0] as number;
    const factors = arange(1, steps + 1).add(this.step);
    this.step += steps;
    return x.flatten(2).mul(factors.reshape([steps, 1, 1]));
  }
}

function counting(stepMode: 's' | 'm', timesteps: number, outputs: number = 12): Counting {
  const neuron = { kind: 'IFNode', params: { step_mode: stepMode } };
  return new Counting({ inputShape: [2, 2, 3], outputShape: [outputs], timesteps, neuron });
}

// Channels last to channels first, written out.
function channelsFirst(values: readonly number[], height: number, width: number, channels: number): number[] {
  const result: number[] = [];
  for (let c = 0; c < channels; c++) {
    for (let p = 0; p < height * width; p++) result.push(values[p * channels + c]!);
  }
  return result;
}

const image = Array.from({ length: 12 }, (_, i) => i);

test('the same input in each step: T calls, or one call with the time first; the mean over time', () => {
  const expected = channelsFirst(image, 2, 2, 3).map((value) => value * 2);
  for (const stepMode of ['s', 'm'] as const) {
    const model = counting(stepMode, 3);
    const framework = stepMode === 's' ? new SpikingJelly() : new SpikingJellyMultiStep();
    const x = arange(12).reshape([1, 2, 2, 3]);
    // A second time the same: reset before each forward.
    for (let i = 0; i < 2; i++) assert.deepEqual(framework.forward(model, x).tolist(), [expected]);
    const step = [1, 3, 2, 2];
    const calls = stepMode === 's' ? [step, step, step] : [[3, ...step]];
    assert.deepEqual(model.inputs, [...calls, ...calls]);
  }
});

test('inputs of their own for each step', () => {
  const first = channelsFirst(image, 2, 2, 3);
  const second = first.map((value) => value + 12);
  const expected = first.map((value, i) => (value + 2 * second[i]!) / 2);
  for (const stepMode of ['s', 'm'] as const) {
    const model = counting(stepMode, 2);
    const framework =
      stepMode === 's' ? new SpikingJellyTimeStepsInData() : new SpikingJellyMultiStepTimeStepsInData();
    const x = arange(24).reshape([1, 2, 2, 2, 3]);
    assert.deepEqual(framework.forward(model, x).tolist(), [expected]);
    const step = [1, 3, 2, 2];
    assert.deepEqual(model.inputs, stepMode === 's' ? [step, step] : [[2, ...step]]);
  }
});

test('signals and features', () => {
  const model = counting('s', 1, 6);
  const framework = new SpikingJelly();
  assert.deepEqual(framework.forward(model, arange(6).reshape([1, 3, 2])).tolist(), [[0, 2, 4, 1, 3, 5]]);
  assert.deepEqual(framework.forward(model, arange(6).reshape([1, 6])).tolist(), [[0, 1, 2, 3, 4, 5]]);
  assert.deepEqual(model.inputs, [
    [1, 2, 3],
    [1, 6],
  ]);
  const timed = new SpikingJellyTimeStepsInData();
  const x = arange(6).reshape([1, 1, 3, 2]);
  assert.deepEqual(timed.forward(model, x).tolist(), [[0, 2, 4, 1, 3, 5]]);
});

function shapeError(framework: Framework, model: SNN, shape: readonly number[], text: RegExp): void {
  const x = arange(shape.reduce((product, size) => product * size, 1)).reshape(shape);
  assert.throws(
    () => framework.forward(model, x),
    (error: unknown) => error instanceof ShapeError && text.test(error.message),
  );
}

test('time steps, ranks and outputs that do not fit are ShapeErrors', () => {
  const model = counting('s', 4);
  const timed = new SpikingJellyTimeStepsInData();
  shapeError(timed, model, [1, 3, 2, 2, 3], /the data has 3 time steps, the network has timesteps = 4/);
  shapeError(timed, model, [1, 4], /\[N, T, features\], got \[1,4\]/);
  shapeError(new SpikingJelly(), model, [2], /\[N, features\], got \[2\]/);
  shapeError(new SpikingJelly(), model, [1, 1, 1, 1, 1], /\[N, H, W, C\]/);
  shapeError(new SpikingJellyMultiStepTimeStepsInData(), counting('m', 4), [1, 5, 3], /has 5 time steps/);
  const flat = Object.assign(counting('s', 2), { forward: (x: Tensor) => x.sum() });
  shapeError(
    new SpikingJelly(),
    flat,
    [2, 3],
    /Counting\.forward: .* must have the shape \[2,12\], got \[\]/,
  );
  shapeError(new SpikingJelly(), counting('s', 2), [2, 13], /must have the shape \[2,12\], got \[2,13\]/);
  const none = Object.assign(counting('s', 2), { forward: () => 3 as unknown as Tensor });
  assert.throws(() => new SpikingJelly().forward(none, arange(4).reshape([2, 2])), /must be a Tensor, got 3/);
});

test('a framework for the other step mode is an error that names both', () => {
  const wrong = (framework: Framework, model: SNN, text: string): void =>
    assert.throws(
      () => framework.forward(model, arange(12).reshape([1, 2, 2, 3])),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        assert.equal(error.message, text);
        return true;
      },
    );
  wrong(
    new SpikingJelly(),
    counting('m', 2),
    'framework.kind: expected SpikingJellyMultiStep, since the network\'s step_mode is "m", got SpikingJelly, which is ' +
      'for step_mode "s"',
  );
  wrong(
    new SpikingJellyMultiStepTimeStepsInData(),
    counting('s', 2),
    'framework.kind: expected SpikingJellyTimeStepsInData, since the network\'s step_mode is "s", got ' +
      'SpikingJellyMultiStepTimeStepsInData, which is for step_mode "m"',
  );
  requireStepMode(SpikingJelly, 's', []);
});

test('without a kind the framework follows the step mode', () => {
  assert.equal(resolveFramework({}, 's', []).frameworkClass, SpikingJelly);
  assert.equal(resolveFramework({ kind: undefined }, 'm', []).frameworkClass, SpikingJellyMultiStep);
  const named = resolveFramework({ kind: 'SpikingJellyTimeStepsInData' }, 'm', []);
  assert.equal(named.frameworkClass, SpikingJellyTimeStepsInData);
  assert.deepEqual(frameworks.names(), [
    'SpikingJelly',
    'SpikingJellyMultiStep',
    'SpikingJellyTimeStepsInData',
    'SpikingJellyMultiStepTimeStepsInData',
  ]);
});

test('parameters: defaults, spellings, the forms of a loss', () => {
  const usual = new SpikingJelly();
  assert.ok(usual.loss instanceof CrossEntropy);
  assert.deepEqual(usual.metrics, ['prec', 'rec', 'f1', 'acc', 'avgclsacc']);
  assert.deepEqual([usual.useBestEpoch, usual.checkpointMetric.name], [false, 'val_avgclsacc']);
  const params = { loss: 'mse', metrics: ['acc'], use_best_epoch: true };
  const own = resolveFramework({ params }, 's', []).create();
  assert.ok(own.loss instanceof MeanSquaredError);
  assert.deepEqual([own.metrics, own.useBestEpoch], [['acc'], true]);
  assert.equal(resolveFramework({ params: { loss: null } }, 's', []).create().loss, null);
  assert.ok(new SpikingJelly({ loss: { kind: 'mse' } }).loss instanceof MeanSquaredError);
  const mine: Loss = { compute: (outputs) => outputs.sum() };
  assert.equal(new SpikingJelly({ loss: mine }).loss, mine);
});

test('wrong parameters are ConfigErrors with their place', () => {
  const wrong = (params: object, place: string, text: RegExp): void =>
    assert.throws(
      () => resolveFramework({ params }, 's', ['framework']),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        assert.equal(error.path.join('.'), `framework.params.${place}`);
        assert.match(error.message, text);
        return true;
      },
    );
  wrong({ loss: 'mseloss' }, 'loss.kind', /a loss: one of crossentropy, mse \(nearest: mse\)/);
  wrong({ loss: 3 }, 'loss', /expected a table/);
  wrong({ metrics: ['accuracy'] }, 'metrics.0', /one of "prec", "rec", "f1", "acc", "avgclsacc"/);
  wrong({ metrics: 'acc' }, 'metrics', /expected a list/);
  wrong({ los: 'mse' }, 'los', /nearest: loss/);
  wrong({ checkpoint_metric: { name: 'val_acc', mode: 'best' } }, 'checkpoint_metric.mode', /"max", "min"/);
  assert.throws(
    () => new SpikingJelly({ metrics: ['recall'] } as unknown as FrameworkOptions),
    (error: unknown) => error instanceof ConfigError,
  );
  assert.throws(() => resolveFramework({ kind: 'Jelly' }, 's', ['framework']), /nearest: SpikingJelly/);
});
