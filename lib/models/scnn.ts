import { z } from 'zod';
import { ConfigError } from '../errors.js';
import { Dropout } from '../layer/index.js';
import {
  AvgPool1d,
  AvgPool2d,
  BatchNorm1d,
  BatchNorm2d,
  Conv1d,
  Conv2d,
  Flatten,
  GlobalSumPool1d,
  GlobalSumPool2d,
  Linear,
  MaxPool1d,
  MaxPool2d,
} from '../nn/index.js';
import { flag, integer, list, type ParameterTable, parameter, shown } from '../parameters.js';
import { resolveModelOptions, SNN, type SNNOptions } from '../snn.js';
import { LayeredSNN } from './layered.js';

/** One integer for all dimensions of the map, or a list with one for each: `[h, w]`. */
export type MapSize = number | readonly number[];

/** Options of `SCNN`. */
export interface SCNNOptions extends Omit<SNNOptions, 'timesteps'> {
  /** Output channels of each convolution, at least one. */
  readonly filters: readonly number[];
  /** Of each convolution, as the next three. */
  readonly kernelSizes: readonly MapSize[];
  /** Zeros on both sides of the map. */
  readonly paddings: readonly MapSize[];
  /** Steps of the kernel, >= 1. */
  readonly strides: readonly MapSize[];
  /** Max-pooling after each convolution's neuron; 0 for none. */
  readonly poolSizes: readonly MapSize[];
  /** Neurons of each hidden linear layer; may be empty. */
  readonly fcUnits: readonly number[];
  /**
   * Probabilities of the dropout after each convolution's neuron, then after that of each hidden linear layer; one
   * number stands for all. 0 for none, which is the default.
   */
  readonly dropouts?: number | readonly number[] | undefined;
  /** Which convolutions are a depthwise one and a pointwise one. Default: none. */
  readonly separables?: readonly boolean[] | undefined;
  /** Batch normalisation after each convolution, which then has no bias. Default false. */
  readonly batchNorm?: boolean | undefined;
  /** Average pooling of the input. Default 1; 0 and 1 mean none. */
  readonly prepool?: MapSize | undefined;
  /** Average pooling after the convolutions. Default 1; 0 and 1 mean none. */
  readonly postpool?: MapSize | undefined;
  /** A 1x1 convolution to the classes, a neuron and the sum over the map in place of the linear layers. Default false. */
  readonly gsp?: boolean | undefined;
  /** 1 for `[S, C]`, 2 for `[H, W, C]`. Default 1. */
  readonly dims?: 1 | 2 | undefined;
  /** Default 4. */
  readonly timesteps?: number | undefined;
}

// With the defaults filled in.
interface Parameters {
  readonly filters: readonly number[];
  readonly kernelSizes: readonly MapSize[];
  readonly paddings: readonly MapSize[];
  readonly strides: readonly MapSize[];
  readonly poolSizes: readonly MapSize[];
  readonly fcUnits: readonly number[];
  readonly dropouts: number | readonly number[];
  readonly separables?: readonly boolean[] | undefined;
  readonly batchNorm: boolean;
  readonly prepool: MapSize;
  readonly postpool: MapSize;
  readonly gsp: boolean;
  readonly dims: 1 | 2;
  readonly timesteps: number;
}

const mapSize = (min: number): z.ZodType<MapSize> => z.union([integer(min), list(integer(min))]);
const probability = (): z.ZodNumber => z.number().min(0).max(1);

const layerKinds = {
  1: {
    Conv: Conv1d,
    BatchNorm: BatchNorm1d,
    MaxPool: MaxPool1d,
    AvgPool: AvgPool1d,
    GlobalSumPool: GlobalSumPool1d,
  },
  2: {
    Conv: Conv2d,
    BatchNorm: BatchNorm2d,
    MaxPool: MaxPool2d,
    AvgPool: AvgPool2d,
    GlobalSumPool: GlobalSumPool2d,
  },
} as const;

/**
 * Spiking convolutional network over `[N, C, S]` or `[N, C, H, W]`. Its layers, where they are wanted: `prepool`; for
 * each entry of `filters` `conv{i}`, `bn{i}`, `neuron{i}`, `dropout{i}`, `maxpool{i}`, a separable one with `conv{i}_dw`,
 * `bn{i}_dw`, `neuron{i}_dw` and the same with `_pw`; `postpool`; then `flatten` and for each entry of `fcUnits` `fc{j}`,
 * `neuron{i}`, `dropout{i}` with i counted on, and a last `fc{j}` to the classes without a neuron. With `gsp`:
 * `conv{i}`, `neuron{i}` and `gsp` after the pooling instead.
 */
export class SCNN extends LayeredSNN {
  static override readonly parameters: ParameterTable = {
    ...SNN.parameters,
    filters: parameter('filters', list(integer(1)).min(1)),
    kernelSizes: parameter('kernel_sizes', list(mapSize(1))),
    paddings: parameter('paddings', list(mapSize(0))),
    strides: parameter('strides', list(mapSize(1))),
    poolSizes: parameter('pool_sizes', list(mapSize(0))),
    fcUnits: parameter('fc_units', list(integer(1))),
    dropouts: parameter('dropouts', z.union([probability(), list(probability())]).default(0)),
    separables: parameter('separables', list(flag()).optional()),
    batchNorm: parameter('batch_norm', flag().default(false)),
    prepool: parameter('prepool', mapSize(0).default(1)),
    postpool: parameter('postpool', mapSize(0).default(1)),
    gsp: parameter('gsp', flag().default(false)),
    dims: parameter('dims', z.literal([1, 2]).default(1)),
    timesteps: parameter('timesteps', integer(1).default(4)),
  };

  /** Lists of one length, and map sizes of as many dimensions as the map. @throws ConfigError */
  static checkParameters(parameters: Parameters): void {
    const { dims, filters, fcUnits, gsp, dropouts } = parameters;
    const stages = filters.length;
    for (const name of ['kernelSizes', 'paddings', 'strides', 'poolSizes', 'separables'] as const) {
      const given = parameters[name];
      if (given !== undefined && given.length !== stages) {
        throw new ConfigError([name], `${values(stages)}, one for each of filters`, values(given.length));
      }
    }
    const counts = gsp ? [stages, stages + fcUnits.length] : [stages + fcUnits.length];
    if (typeof dropouts !== 'number' && !counts.includes(dropouts.length)) {
      throw new ConfigError(
        ['dropouts'],
        `one number, or ${values(stages + fcUnits.length)}, one for each of filters and then of fc_units`,
        values(dropouts.length),
      );
    }
    for (const name of ['kernelSizes', 'paddings', 'strides', 'poolSizes'] as const) {
      for (const [i, size] of parameters[name].entries()) checkDims(size, dims, [name, i]);
    }
    for (const name of ['prepool', 'postpool'] as const) checkDims(parameters[name], dims, [name]);
  }

  /** @throws ConfigError, also for a map that a layer would leave empty */
  constructor(options: SCNNOptions) {
    const own = resolveModelOptions<Parameters>(SCNN, options, new.target);
    SCNN.checkParameters(own);
    super({ ...options, timesteps: own.timesteps });
    const map = new FeatureMap(this.inputShape.slice(1), own.dims);
    this.#addPool('prepool', own, map);
    for (const i of own.filters.keys()) this.#addStage(i, own, map);
    this.#addPool('postpool', own, map);
    if (own.gsp) this.#addSummingHead(own, map);
    else this.#addLinearHead(own, map);
  }

  #addPool(name: 'prepool' | 'postpool', own: Parameters, map: FeatureMap): void {
    const { AvgPool } = layerKinds[own.dims];
    const size = perDimension(own[name], own.dims).map((length) => Math.max(length, 1));
    if (size.every((length) => length === 1)) return;
    this.layers.set(name, new AvgPool(size, { stepMode: this.stepMode }));
    map.shrink([name], size, size);
  }

  #addStage(i: number, own: Parameters, map: FeatureMap): void {
    const { MaxPool } = layerKinds[own.dims];
    const [kernel, padding, stride, pool] = [own.kernelSizes, own.paddings, own.strides, own.poolSizes].map(
      (list) => perDimension(list[i] as MapSize, own.dims),
    ) as [number[], number[], number[], number[]];
    const width = own.filters[i] as number;
    const window = { kernel, padding, stride };
    if (own.separables?.[i]) {
      this.#addConvolution(`${i + 1}_dw`, own, map.channels, map.channels, {
        ...window,
        groups: map.channels,
      });
      this.#addConvolution(`${i + 1}_pw`, own, map.channels, width, pointwise);
    } else {
      this.#addConvolution(`${i + 1}`, own, map.channels, width, window);
    }
    map.shrink(['kernelSizes', i], kernel, stride, padding);
    map.channels = width;
    this.#addDropout(i, own);
    if (pool.every((length) => length === 0)) return;
    const size = pool.map((length) => Math.max(length, 1));
    this.layers.set(`maxpool${i + 1}`, new MaxPool(size, { stepMode: this.stepMode }));
    map.shrink(['poolSizes', i], size, size);
  }

  #addConvolution(name: string, own: Parameters, inputs: number, outputs: number, window: Window): void {
    const { Conv, BatchNorm } = layerKinds[own.dims];
    const { stepMode, layers } = this;
    const { kernel, ...rest } = window;
    layers.set(`conv${name}`, new Conv(inputs, outputs, kernel, { ...rest, bias: !own.batchNorm, stepMode }));
    if (own.batchNorm) layers.set(`bn${name}`, new BatchNorm(outputs, { stepMode }));
    layers.set(`neuron${name}`, this.createNeuron());
  }

  #addDropout(i: number, { dropouts }: Parameters): void {
    const p = typeof dropouts === 'number' ? dropouts : (dropouts[i] as number);
    if (p > 0) this.layers.set(`dropout${i + 1}`, new Dropout(p, { stepMode: this.stepMode }));
  }

  #addSummingHead(own: Parameters, map: FeatureMap): void {
    const { GlobalSumPool } = layerKinds[own.dims];
    const classes = this.outputShape[0] as number;
    const name = `${own.filters.length + 1}`;
    this.#addConvolution(name, { ...own, batchNorm: false }, map.channels, classes, pointwise);
    this.layers.set('gsp', new GlobalSumPool({ stepMode: this.stepMode }));
  }

  #addLinearHead({ filters, fcUnits, ...own }: Parameters, map: FeatureMap): void {
    const { stepMode, layers } = this;
    layers.set('flatten', new Flatten({ stepMode }));
    let features = map.numel;
    fcUnits.forEach((size, j) => {
      layers.set(`fc${j + 1}`, new Linear(features, size, { stepMode }));
      layers.set(`neuron${filters.length + j + 1}`, this.createNeuron());
      this.#addDropout(filters.length + j, { filters, fcUnits, ...own });
      features = size;
    });
    layers.set(`fc${fcUnits.length + 1}`, new Linear(features, this.outputShape[0] as number, { stepMode }));
  }
}

interface Window {
  readonly kernel: MapSize;
  readonly padding?: MapSize;
  readonly stride?: MapSize;
  readonly groups?: number;
}

const pointwise: Window = { kernel: 1 };

// What a convolution or a pooling has before it.
class FeatureMap {
  channels: number;
  #sizes: readonly number[];

  constructor(shape: readonly number[], dims: 1 | 2) {
    if (shape.length !== dims + 1) {
      const wanted = dims === 1 ? '[S, C]' : '[H, W, C]';
      throw new ConfigError(['inputShape'], `${wanted}, since dims = ${dims}`, `[${shape.join(', ')}]`);
    }
    this.channels = shape.at(-1) as number;
    this.#sizes = shape.slice(0, -1);
  }

  get numel(): number {
    return this.#sizes.reduce((product, size) => product * size, this.channels);
  }

  // After windows of a size; `path` is the parameter to blame where none fits.
  shrink(
    path: readonly (string | number)[],
    window: readonly number[],
    stride: readonly number[],
    padding: readonly number[] = [],
  ): void {
    const sizes = this.#sizes.map((size, i) => {
      const room = size + 2 * (padding[i] ?? 0) - window[i]!;
      return room < 0 ? 0 : Math.floor(room / stride[i]!) + 1;
    });
    if (sizes.includes(0)) {
      const padded = padding.some((size) => size > 0) ? ` with a padding of ${padding.join(' x ')}` : '';
      const map = this.#sizes.join(' x ') + padded;
      throw new ConfigError(path, `a size that fits into a map of ${map}`, window.join(' x '));
    }
    this.#sizes = sizes;
  }
}

function perDimension(size: MapSize, dims: number): readonly number[] {
  return typeof size === 'number' ? new Array<number>(dims).fill(size) : size;
}

function checkDims(size: MapSize, dims: number, path: readonly (string | number)[]): void {
  if (typeof size === 'number' || size.length === dims) return;
  const wanted = dims === 1 ? 'an integer' : 'an integer or [h, w]';
  throw new ConfigError(path, `${wanted}, since dims = ${dims}`, shown(size));
}

function values(count: number): string {
  return count === 1 ? '1 value' : `${count} values`;
}
