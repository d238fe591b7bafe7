import { setImmediate as turn } from 'node:timers/promises';
import { sampleSize } from '../data/dataset.js';
import type { Dataset } from '../data/index.js';
import { checkValues } from '../data/loader.js';
import { ShapeError } from '../errors.js';
import type { Module } from '../nn/index.js';
import { integer, type ParameterTable, parameter, resolveParameters } from '../parameters.js';
import type { SNN } from '../snn.js';
import { noGrad, Scope, type Tensor } from '../tensor/index.js';
import { type Batch, batches, checkDataset, placementOf, tensorsOf } from './batches.js';
import { resolveFramework } from './configuration.js';
import type { Framework } from './framework.js';
import type { KindConfig } from './kind.js';
import type { Loss } from './loss.js';
import { ConfusionMatrix, ErrorSums, isErrorMetric, type MetricName, metric } from './metrics.js';

/** How a network is used on data. */
export interface InferenceOptions {
  /** Default 32. */
  readonly batchSize?: number;
  /** Default: the framework for the network's step mode, with all metrics and cross entropy. */
  readonly framework?: Partial<KindConfig>;
  /** Stops between two batches; the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Options of `predict`. */
export interface PredictOptions extends InferenceOptions {
  /** With bytes only, and necessary then: the network gets each byte divided by it. */
  readonly scale?: number;
}

/** Options of `evaluate`. */
export interface EvaluateOptions extends InferenceOptions {
  /** Put before each name: 'test_' gives 'test_acc'. Default: nothing. */
  readonly prefix?: string;
}

/** The confusion matrix of an evaluation. */
export interface ConfusionReport {
  /** Counts: a row for each true class, a column for each predicted one. */
  readonly cm?: readonly (readonly number[])[];
  /** `cm` with each row divided by its sum; NaN in the row of a class without samples. */
  readonly ncm?: readonly (readonly number[])[];
}

/**
 * What was measured, by name: `loss`, `acc`, ... with the prefix. `corr` of a network with several outputs is `corr_0`,
 * `corr_1`, ...; `cm`, `ncm` and `avg_class_accuracy` (the mean of the diagonal of `ncm`), which never have the prefix,
 * are there unless the framework's `enable_confusion_matrix` is false. All but `cm` and `ncm` are numbers.
 */
export type Evaluation = Readonly<Record<string, number>> & ConfusionReport;

/** What a network did with a batch. */
export interface Judgement {
  /** One element; null without a loss. */
  readonly loss: Tensor | null;
  /** `[N, outputs]` */
  readonly outputs: Tensor;
  /** The class with the largest output, the first of equals: `[N]`. */
  readonly predicted: Tensor;
}

/** What a meter has added up so far. */
export interface MeterState {
  /** The sum of the losses, and what it is to be divided by. */
  readonly loss: readonly [sum: number, weight: number];
  readonly matrix: readonly number[];
  readonly errors: readonly number[] | null;
}

/** Collects what a pass over data is judged by. Everything is added up in float64. */
export class Meter {
  readonly #names: readonly MetricName[];
  readonly #loss: Loss | null;
  readonly #matrix: ConfusionMatrix;
  readonly #errors: ErrorSums | null;
  #lossSum = 0;
  #lossWeight = 0;

  /** @param outputs of the network */
  constructor({ metrics, loss }: Pick<Framework, 'metrics' | 'loss'>, outputs: number) {
    this.#names = metrics;
    this.#loss = loss;
    this.#matrix = new ConfusionMatrix(outputs);
    this.#errors = metrics.some(isErrorMetric) ? new ErrorSums(outputs) : null;
  }

  /** A batch and what the network did with it. Returns the loss as a number; NaN without one. */
  async add(batch: Pick<Batch, 'size' | 'y'>, { loss, outputs, predicted }: Judgement): Promise<number> {
    this.#matrix.add(batch.y, (await predicted.toTypedArrayAsync()) as BigInt64Array);
    if (this.#errors) {
      const values = (await outputs.toTypedArrayAsync()) as Float32Array | Float64Array;
      this.#errors.add(values, oneHotOf(batch.y, this.#errors.outputs));
    }
    if (loss === null) return Number.NaN;
    const value = Number(await loss.itemAsync());
    const weight = this.#loss?.weightOf?.(batch.y) ?? batch.size;
    this.#lossSum += this.#loss?.reduction === 'sum' ? value : value * weight;
    this.#lossWeight += weight;
    return value;
  }

  /** The metrics, and the mean loss over all samples if there was one. */
  report(prefix: string): Record<string, number> {
    const result: Record<string, number> = {};
    if (this.#lossWeight > 0) result[`${prefix}loss`] = this.#lossSum / this.#lossWeight;
    for (const name of this.#names) {
      if (!isErrorMetric(name)) result[prefix + name] = metric(name, this.#matrix);
      else if (name !== 'corr') result[prefix + name] = (this.#errors as ErrorSums).metric(name);
      else {
        const values = (this.#errors as ErrorSums).metric(name);
        for (const [i, value] of values.entries()) {
          result[prefix + name + (values.length > 1 ? `_${i}` : '')] = value;
        }
      }
    }
    return result;
  }

  /** The confusion matrix. */
  confusion(): ConfusionReport & { readonly avg_class_accuracy: number } {
    const matrix = this.#matrix;
    return {
      cm: matrix.rows(),
      ncm: matrix.normalized(),
      avg_class_accuracy: matrix.averageClassAccuracy(),
    };
  }

  /** All sums, in the middle of a pass too. */
  stateDict(): MeterState {
    return {
      loss: [this.#lossSum, this.#lossWeight],
      matrix: this.#matrix.stateDict(),
      errors: this.#errors?.stateDict() ?? null,
    };
  }

  /** Goes on from there. @throws ShapeError for the state of a meter of other metrics or outputs */
  loadStateDict({ loss, matrix, errors }: MeterState): void {
    if ((errors === null) !== (this.#errors === null)) {
      throw new ShapeError('Meter.loadStateDict: expected the state of a meter of the same metrics');
    }
    this.#matrix.loadStateDict(matrix);
    if (errors !== null) this.#errors?.loadStateDict(errors);
    [this.#lossSum, this.#lossWeight] = loss;
  }
}

function oneHotOf(labels: Int32Array, classes: number): Uint8Array {
  const targets = new Uint8Array(labels.length * classes);
  for (const [i, label] of labels.entries()) targets[i * classes + label] = 1;
  return targets;
}

/** The loss of a batch, and the class with the largest output for each sample. */
export function judge(framework: Framework, outputs: Tensor, targets: Tensor): Judgement {
  return {
    loss: framework.loss?.compute(outputs, targets) ?? null,
    outputs,
    predicted: outputs.argmax(1),
  };
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

/** @throws ConfigError if the loss is for another number of classes than the network has outputs */
export function requireClasses({ loss }: Framework, outputs: number): void {
  loss?.checkClasses?.(outputs, ['framework', 'params', 'loss']);
}

/** Sets training or evaluation mode; the function that it returns gives each module its own back. */
export function switchMode(model: Module, training: boolean): () => void {
  const before = [...model.modules()].map((module) => [module, module.training] as const);
  model.train(training);
  return () => {
    for (const [module, mode] of before) module.training = mode;
  };
}

const inferenceTable: ParameterTable = { batchSize: parameter('batch_size', () => integer(1).default(32)) };

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
    for await (const batch of batches(data, batchSize)) {
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
 * Loss, metrics and confusion matrix of a network on data, in evaluation mode and without gradients:
 * `{ loss, acc, ..., cm, ncm }`, as the framework says. The event loop gets a turn after each batch.
 * @throws ConfigError for options; ShapeError for data that does not fit the network
 */
export async function evaluate(
  model: SNN,
  data: Dataset,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  checkDataset(data, 'evaluate');
  const framework = frameworkFor(model, options);
  const outputs = requireOutputs(model, data, 'evaluate');
  requireClasses(framework, outputs);
  const meter = new Meter(framework, outputs);
  for await (const inferred of infer(model, data, framework, options)) {
    const { batch, targets, scope } = inferred;
    const judgement = scope.run(() => noGrad(() => judge(framework, inferred.outputs, targets)));
    await meter.add(batch, judgement);
  }
  const result = meter.report(options.prefix ?? '');
  const found: object = framework.enableConfusionMatrix ? meter.confusion() : {};
  return Object.assign(result, found);
}

/**
 * Outputs of a network, averaged over time, in evaluation mode and without gradients: `[N, ...outputShape]`,
 * row-major, in the order of the samples.
 * @param x samples, row-major, channels last; numbers, or bytes with `options.scale`, as in `Dataset`
 * @param shape of one sample, as in `Dataset`
 * @throws ConfigError for options; ShapeError for values that are no whole number of samples; DTypeError for bytes
 * without a scale
 */
export async function predict(
  model: SNN,
  x: Float32Array | Uint8Array,
  shape: readonly number[],
  options: PredictOptions = {},
): Promise<Float32Array> {
  const length = x.length / sampleSize(shape);
  if (!Number.isSafeInteger(length)) {
    throw new ShapeError(`predict: ${x.length} values are no whole number of samples of shape [${shape}]`);
  }
  const outputs = sampleSize(model.outputShape);
  const y = new Int32Array(length);
  const data: Dataset = { x, scale: options.scale, y, shape, classes: outputs, length };
  checkValues(data, 'predict');
  const result = new Float32Array(length * outputs);
  let filled = 0;
  for await (const inferred of infer(model, data, frameworkFor(model, options), options)) {
    const values = (await inferred.outputs.toTypedArrayAsync()) as Float32Array | Float64Array;
    result.set(values, filled);
    filled += values.length;
  }
  return result;
}
