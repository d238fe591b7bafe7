/** The cases of test/golden/models.json: networks rebuilt from a rule, run, and compared. */
import assert from 'node:assert/strict';
import { resetNet } from '../../lib/layer/index.js';
import { models } from '../../lib/models/index.js';
import type { Module } from '../../lib/nn/index.js';
import type { SNN } from '../../lib/snn.js';
import { crossEntropyLoss, stack, type Tensor, tensor } from '../../lib/tensor/index.js';
import { difference, golden, shaped } from '../nn/helpers.js';

type Sample = { readonly shape: readonly number[]; readonly values: readonly number[] } & (
  | { readonly index?: undefined }
  | { readonly index: readonly number[]; readonly sum: number; readonly abs_sum: number }
);

interface Pass {
  readonly logits: readonly (readonly number[])[];
  readonly loss: number;
  readonly spikes: Readonly<Record<string, readonly [number, number]>>;
}

interface TrainPass extends Pass {
  readonly gradients: Readonly<Record<string, Sample>>;
  readonly input_gradient: Sample;
  /** Statistics of the batch normalisations afterwards. */
  readonly buffers?: Readonly<Record<string, number | readonly number[]>>;
}

/** One network with its parameters, input and results. */
export interface Case {
  readonly id: string;
  readonly model: string;
  readonly params: { readonly timesteps: number };
  readonly input_shape: readonly number[];
  readonly output_shape: readonly number[];
  readonly neuron: { readonly kind: string; readonly params: Readonly<Record<string, unknown>> };
  readonly framework: string;
  readonly state: readonly (readonly [string, readonly number[], number, number])[];
  readonly input: Fill;
  readonly targets: readonly number[];
  readonly tolerance: number;
  readonly modules?: readonly (readonly [string, string])[];
  readonly eval?: Pass;
  readonly train?: TrainPass;
  readonly repaired?: Pick<Case, 'eval' | 'train' | 'modules'>;
}

interface Fill {
  readonly name: string;
  readonly shape: readonly number[];
  readonly scale: number;
  readonly offset: number;
}

/** A sample configuration and the network that it makes; with `defects` the original drops layers silently. */
export interface Structure {
  readonly input_shape: readonly number[];
  readonly output_shape: readonly number[];
  readonly params: Readonly<Record<string, unknown>>;
  readonly defects?: readonly string[];
  readonly n_params?: number;
  readonly layers?: readonly (readonly [string, string])[];
  readonly state_dict?: readonly (readonly [string, readonly number[]])[];
}

export const file: {
  readonly cases: readonly Case[];
  readonly structures: readonly Structure[];
  readonly fill: { readonly example: Fill & { readonly values: readonly number[] } };
} = golden('models.json');

/** The rule by which the file gives parameters and inputs: a hash of the name and the index. */
export function filled(name: string, count: number, scale: number, offset: number): number[] {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name, 'utf8')) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return Array.from({ length: count }, (_, i) => {
    let z = (hash + Math.imul(i, 0x9e3779b1)) >>> 0;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b) >>> 0;
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35) >>> 0;
    z = (z ^ (z >>> 16)) >>> 0;
    return Math.fround(offset + scale * (((z >>> 8) - 8388608) / 8388608));
  });
}

export function filledTensor({ name, shape, scale, offset }: Fill): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return shaped(filled(name, count, scale, offset), shape);
}

/** The names and classes of the modules that have none below them. */
export function leaves(model: Module): (readonly [string, string])[] {
  return [...model.namedModules()]
    .filter(([, module]) => [...module.children()].length === 0)
    .map(([name, module]) => [name, module.constructor.name] as const);
}

export function build(entry: Case): SNN {
  const { input_shape: inputShape, output_shape: outputShape, params, neuron } = entry;
  const model = new (models.find(entry.model, []))({ inputShape, outputShape, ...params, neuron });
  model.to('float64');
  const state = entry.state.map(([key, shape, scale, offset]) => {
    const isCount = key.endsWith('num_batches_tracked');
    const value = isCount
      ? shaped([offset], shape)
      : filledTensor({ name: `${entry.id}/${key}`, shape, scale, offset });
    return [key, value] as const;
  });
  assert.deepEqual(
    Object.keys(model.stateDict()),
    state.map(([key]) => key),
  );
  model.loadStateDict(new Map(state));
  return model;
}

// The input in time: the same at each step, or steps of its own in dimension 1.
function inTime(x: Tensor, entry: Case, expanded: boolean): Tensor {
  if (entry.framework.endsWith('TimeStepsInData')) return x.transpose(0, 1);
  const { timesteps } = entry.params;
  return expanded
    ? x.unsqueeze(0).expand([timesteps, ...x.shape])
    : stack(Array.from({ length: timesteps }, () => x));
}

export interface Run {
  readonly logits: Tensor;
  readonly loss: Tensor;
  readonly spikes: Readonly<Record<string, readonly number[]>>;
}

/** One pass in the model's step mode; `expanded`: an input that is the same at each step has stride 0 in time. */
export function run(model: SNN, entry: Case, x: Tensor, expanded: boolean): Run {
  const spikes: Record<string, number[]> = {};
  const hooks = [...model.namedModules()]
    .filter(([name]) => name.includes('neuron'))
    .map(([name, module]: [string, Module]) =>
      module.registerForwardHook((_module, _inputs, output) => {
        const seen = spikes[name] ?? [0, 0];
        const s = output as Tensor;
        spikes[name] = [seen[0]! + Number(s.countNonzero().item()), seen[1]! + s.numel];
      }),
    );
  resetNet(model);
  const forward = (input: Tensor): Tensor => model.forward(input as never) as never;
  const seq = inTime(x, entry, expanded);
  const out = model.stepMode === 'm' ? forward(seq) : stack(seq.unbind(0).map(forward));
  for (const hook of hooks) hook.remove();
  const logits = out.mean(0);
  const targets = tensor(entry.targets.map(BigInt));
  return { logits, loss: crossEntropyLoss(logits, targets), spikes };
}

export function checkPass(found: Run, expected: Pass, tolerance: number): void {
  assert.ok(difference(found.logits, expected.logits.flat()) < tolerance, 'logits');
  assert.ok(difference(found.loss, [expected.loss]) < tolerance, 'loss');
  assert.deepEqual(found.spikes, expected.spikes);
}

/** Gradients of the parameters and of the input, and what batch normalisation has tracked. */
export function checkBackward(model: SNN, x: Tensor, expected: TrainPass, tolerance: number): void {
  checkSample(x.grad, expected.input_gradient, tolerance);
  for (const [name, parameter] of model.namedParameters()) {
    checkSample(parameter.grad, expected.gradients[name] as Sample, tolerance);
  }
  const buffers = Object.entries(expected.buffers ?? {});
  assert.equal([...model.buffers()].length, buffers.length);
  const state = model.stateDict();
  for (const [name, values] of buffers) {
    assert.ok(difference(state[name] as Tensor, [values].flat()) < tolerance, name);
  }
}

function checkSample(found: Tensor | null, expected: Sample, tolerance: number): void {
  assert.ok(found !== null);
  assert.deepEqual(found.shape, expected.shape);
  const values = [...(found.toTypedArray() as Float64Array)];
  const picked = expected.index?.map((i) => values[i] as number) ?? values;
  assert.ok(difference(shaped(picked, [picked.length]), expected.values) < tolerance);
  if (expected.index === undefined) return;
  assert.ok(difference(found.sum(), [expected.sum]) < tolerance);
  assert.ok(difference(found.abs().sum(), [expected.abs_sum]) < tolerance);
}
