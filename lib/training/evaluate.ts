import { setImmediate as turn } from 'node:timers/promises';
import type { Dataset } from '../data/index.js';
import { ShapeError } from '../errors.js';
import type { Module } from '../nn/index.js';
import { integer, type ParameterTable, parameter, resolveParameters } from '../parameters.js';
import type { SNN } from '../snn.js';
import { noGrad, Scope, type Tensor } from '../tensor/index.js';
import { type Batch, batches, checkDataset, placementOf, sampleSize, tensorsOf } from './batches.js';
import { resolveFramework } from './configuration.js';
import type { Framework } from './framework.js';
import type { KindConfig } from './kind.js';
import { ConfusionMatrix, type MetricName, metric } from './metrics.js';

/** How a network is used on data. */
export interface InferenceOptions {
  /** Default 32. */
  readonly batchSize?: number;
  /** Default: the framework for the network's step mode, with all metrics and cross entropy. */
  readonly framework?: Partial<KindConfig>;
  /** Stops between two batches; the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface EvaluateOptions extends InferenceOptions {
  /** Put before each name: 'test_' gives 'test_acc'. Default: nothing. */
  readonly prefix?: string;
}

/** What a pass over data has collected so far, as a checkpoint keeps it. */
export interface MeterState {
  readonly loss: number;
  readonly measured: number;
  readonly confusion: readonly (readonly number[])[];
}

/** Collects what a pass over data is judged by. */
export class Meter {
  readonly #names: readonly MetricName[];
  readonly #matrix: ConfusionMatrix;
  #loss = 0;
  #measured = 0;

  /** @param classes outputs of the network */
  constructor(names: readonly MetricName[], classes: number) {
    this.#names = names;
    this.#matrix = new ConfusionMatrix(classes);
  }

  /** A batch, its mean loss if there is one, and the predicted classes `[N]`. Returns the loss as a number. */
  async add(batch: Batch, loss: Tensor | null, predicted: Tensor): Promise<number> {
    this.#matrix.add(batch.y, (await predicted.toTypedArrayAsync()) as BigInt64Array);
    if (loss === null) return Number.NaN;
    const value = Number(await loss.itemAsync());
    this.#loss += value * batch.size;
    this.#measured += batch.size;
    return value;
  }

  stateDict(): MeterState {
    return { loss: this.#loss, measured: this.#measured, confusion: this.#matrix.rows() };
  }

  loadStateDict({ loss, measured, confusion }: MeterState): void {
    this.#loss = loss;
    this.#measured = measured;
    this.#matrix.load(confusion);
  }

  /** The metrics, and the mean loss over all samples if there was one. */
  report(prefix: string): Record<string, number> {
    const result: Record<string, number> = {};
    if (this.#measured > 0) result[`${prefix}loss`] = this.#loss / this.#measured;
    for (const name of this.#names) result[prefix + name] = metric(name, this.#matrix);
    return result;
  }
}

/** The loss of a batch, and the class with the largest output for each sample. */
export function judge(
  framework: Framework,
  outputs: Tensor,
  targets: Tensor,
): { readonly loss: Tensor | null; readonly predicted: Tensor } {
  return { loss: framework.loss?.compute(outputs, targets) ?? null, predicted: outputs.argmax(1) };
}

/** The number of the network's outputs. @throws ShapeError if they do not fit the data's classes */
export function requireOutputs(model: SNN, data: Dataset, name: string): number {
  const [outputs = 0, ...rest] = model.outputShape;
  if (rest.length > 0) {
    throw new ShapeError(`${name}: the network's outputShape must be [classes], got [${model.outputShape}]`);
  }
  if (outputs >= data.classes) return outputs;
  throw new ShapeError(`${name}: the data has ${data.classes} classes, the network only ${outputs} outputs`);
}

/** Sets training or evaluation mode; the function that it returns gives each module its own back. */
export function switchMode(model: Module, training: boolean): () => void {
  const before = [...model.modules()].map((module) => [module, module.training] as const);
  model.train(training);
  return () => {
    for (const [module, mode] of before) module.training = mode;
  };
}

const inferenceTable: ParameterTable = { batchSize: parameter('batch_size', integer(1).default(32)) };

interface Inferred {
  readonly batch: Batch;
  readonly outputs: Tensor;
  readonly targets: Tensor;
  /** Ends with the turn of the loop. */
  readonly scope: Scope;
}

// The network's outputs batch by batch, in evaluation mode; the event loop gets a turn after each.
async function* infer(
  model: SNN,
  data: Dataset,
  framework: Framework,
  options: InferenceOptions,
): AsyncGenerator<Inferred> {
  const given = { batchSize: options.batchSize };
  const { batchSize } = resolveParameters<{ batchSize: number }>(inferenceTable, given);
  const placement = placementOf(model);
  const restore = switchMode(model, false);
  try {
    for (const batch of batches(data, batchSize)) {
      options.signal?.throwIfAborted();
      using scope = new Scope();
      const found = scope.run(() =>
        noGrad(() => {
          const { x, y } = tensorsOf(batch, placement);
          return { outputs: framework.forward(model, x), targets: y };
        }),
      );
      yield { batch, scope, ...found };
      await turn();
    }
  } finally {
    restore();
  }
}

function frameworkFor(model: SNN, options: InferenceOptions): Framework {
  return resolveFramework(options.framework ?? {}, model.stepMode, ['framework']).create();
}

/**
 * Loss and metrics of a network on data, in evaluation mode and without gradients: `{ loss, acc, ... }`, the names
 * that the framework measures. The event loop gets a turn after each batch.
 * @throws ConfigError for options; ShapeError for data that does not fit the network
 */
export async function evaluate(
  model: SNN,
  data: Dataset,
  options: EvaluateOptions = {},
): Promise<Record<string, number>> {
  checkDataset(data, 'evaluate');
  const framework = frameworkFor(model, options);
  const meter = new Meter(framework.metrics, requireOutputs(model, data, 'evaluate'));
  for await (const { batch, outputs, targets, scope } of infer(model, data, framework, options)) {
    const { loss, predicted } = scope.run(() => noGrad(() => judge(framework, outputs, targets)));
    await meter.add(batch, loss, predicted);
  }
  return meter.report(options.prefix ?? '');
}

/**
 * Outputs of a network, averaged over time, in evaluation mode and without gradients: `[N, ...outputShape]`,
 * row-major, in the order of the samples.
 * @param x samples, row-major, channels last
 * @param shape of one sample, as in `Dataset`
 * @throws ConfigError for options; ShapeError for values that are no whole number of samples
 */
export async function predict(
  model: SNN,
  x: Float32Array,
  shape: readonly number[],
  options: InferenceOptions = {},
): Promise<Float32Array> {
  const length = x.length / sampleSize(shape);
  if (!Number.isSafeInteger(length)) {
    throw new ShapeError(`predict: ${x.length} values are no whole number of samples of shape [${shape}]`);
  }
  const outputs = sampleSize(model.outputShape);
  const data = { x, y: new Int32Array(length), shape, classes: outputs, length };
  const result = new Float32Array(length * outputs);
  let filled = 0;
  for await (const inferred of infer(model, data, frameworkFor(model, options), options)) {
    const values = (await inferred.outputs.toTypedArrayAsync()) as Float32Array | Float64Array;
    result.set(values, filled);
    filled += values.length;
  }
  return result;
}
