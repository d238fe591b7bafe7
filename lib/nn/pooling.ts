import { checkOptions } from '../tensor/dispatch.js';
import {
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  avgPool1d,
  avgPool2d,
  maxPool1d,
  maxPool2d,
  type Tensor,
} from '../tensor/index.js';
import { checkInteger, checkSize, type Size } from './arguments.js';
import { StatelessLayer, type StepOptions } from './step-module.js';

/** Options of the pooling layers, with PyTorch's defaults. */
export interface PoolOptions extends StepOptions {
  /** Default: the kernel's size. */
  readonly stride?: Size | undefined;
  /** At most half of the kernel. Default 0. */
  readonly padding?: Size | undefined;
  /** Count the last window even if it is not complete. Default false. */
  readonly ceilMode?: boolean | undefined;
}

/** Options of `MaxPool1d` and `MaxPool2d`. */
export interface MaxPoolOptions extends PoolOptions {
  /** Default 1. */
  readonly dilation?: Size | undefined;
}

/** Options of `AvgPool1d`. */
export interface AvgPoolOptions extends PoolOptions {
  /** Whether the zeros of the padding count in the mean. Default true. */
  readonly countIncludePad?: boolean | undefined;
}

/** Options of `AvgPool2d`. */
export interface AvgPool2dOptions extends AvgPoolOptions {
  /** Divides the sum in place of the window's size. */
  readonly divisorOverride?: number | null | undefined;
}

const POOL = ['stride', 'padding', 'ceilMode', 'stepMode'];

abstract class Pool extends StatelessLayer {
  /** Size of the window, one number a dimension, as the next ones. */
  readonly kernelSize: readonly number[];
  /** Steps of the window. */
  readonly stride: readonly number[];
  /** Elements added on both sides. */
  readonly padding: readonly number[];
  /** Whether the last window counts even if it is not complete. */
  readonly ceilMode: boolean;

  constructor(dims: number, kernelSize: Size, options: PoolOptions, names: readonly string[]) {
    const layer = new.target.name;
    checkOptions(options, [...POOL, ...names], layer);
    super(options.stepMode);
    this.kernelSize = checkSize(kernelSize, dims, 1, layer, 'kernelSize');
    this.stride = checkSize(options.stride ?? this.kernelSize, dims, 1, layer, 'stride');
    this.padding = checkSize(options.padding ?? 0, dims, 0, layer, 'padding');
    this.ceilMode = options.ceilMode ?? false;
  }

  protected override describe(): string {
    return `kernelSize=[${this.kernelSize}], stride=[${this.stride}], padding=[${this.padding}]`;
  }
}

abstract class MaxPool extends Pool {
  /** Distance of two elements in the window. */
  readonly dilation: readonly number[];

  constructor(dims: number, kernelSize: Size, options: MaxPoolOptions) {
    super(dims, kernelSize, options, ['dilation']);
    this.dilation = checkSize(options.dilation ?? 1, dims, 1, new.target.name, 'dilation');
  }

  /** The operator on one batch. */
  protected abstract pool(x: Tensor): Tensor;

  // The largest of one value needs no pass over the data, and no memory of where it was.
  protected override step(x: Tensor): Tensor {
    const isIdentity = [...this.kernelSize, ...this.stride].every((size) => size === 1);
    return isIdentity ? x : this.pool(x);
  }
}

/** Largest value of each window, over `[N, C, L]`; in step mode 'm' over `[T, N, C, L]`. */
export class MaxPool1d extends MaxPool {
  protected override readonly ranks: readonly number[] = [3];

  constructor(kernelSize: Size, options: MaxPoolOptions = {}) {
    super(1, kernelSize, options);
  }

  protected override pool(x: Tensor): Tensor {
    return maxPool1d(x, this.kernelSize, this.stride, this.padding, this.dilation, this.ceilMode);
  }
}

/** Largest value of each window, over `[N, C, H, W]`; in step mode 'm' over `[T, N, C, H, W]`. */
export class MaxPool2d extends MaxPool {
  protected override readonly ranks: readonly number[] = [4];

  constructor(kernelSize: Size, options: MaxPoolOptions = {}) {
    super(2, kernelSize, options);
  }

  protected override pool(x: Tensor): Tensor {
    return maxPool2d(x, this.kernelSize, this.stride, this.padding, this.dilation, this.ceilMode);
  }
}

/** Mean of each window, over `[N, C, L]`; in step mode 'm' over `[T, N, C, L]`. */
export class AvgPool1d extends Pool {
  protected override readonly ranks: readonly number[] = [3];
  /** Whether the zeros of the padding count in the mean. */
  readonly countIncludePad: boolean;

  constructor(kernelSize: Size, options: AvgPoolOptions = {}) {
    super(1, kernelSize, options, ['countIncludePad']);
    this.countIncludePad = options.countIncludePad ?? true;
  }

  protected override step(x: Tensor): Tensor {
    return avgPool1d(x, this.kernelSize, this.stride, this.padding, this.ceilMode, this.countIncludePad);
  }
}

/** Mean of each window, over `[N, C, H, W]`; in step mode 'm' over `[T, N, C, H, W]`. */
export class AvgPool2d extends Pool {
  protected override readonly ranks: readonly number[] = [4];
  /** Whether the zeros of the padding count in the mean. */
  readonly countIncludePad: boolean;
  /** Divides the sum in place of the window's size; null for that. */
  readonly divisorOverride: number | null;

  constructor(kernelSize: Size, options: AvgPool2dOptions = {}) {
    super(2, kernelSize, options, ['countIncludePad', 'divisorOverride']);
    this.countIncludePad = options.countIncludePad ?? true;
    const divisor = options.divisorOverride ?? null;
    this.divisorOverride = divisor === null ? null : checkInteger(divisor, 1, 'AvgPool2d', 'divisorOverride');
  }

  protected override step(x: Tensor): Tensor {
    const { kernelSize, stride, padding, ceilMode, countIncludePad, divisorOverride } = this;
    return avgPool2d(x, kernelSize, stride, padding, ceilMode, countIncludePad, divisorOverride);
  }
}

abstract class AdaptiveAvgPool extends StatelessLayer {
  /** One number a dimension. */
  readonly outputSize: readonly number[];

  constructor(dims: number, outputSize: Size, options: StepOptions) {
    const layer = new.target.name;
    checkOptions(options, ['stepMode'], layer);
    super(options.stepMode);
    this.outputSize = checkSize(outputSize, dims, 1, layer, 'outputSize');
  }

  protected override describe(): string {
    return `outputSize=[${this.outputSize}]`;
  }
}

/** Mean of windows that give the output the wanted length, over `[N, C, L]`; in step mode 'm' over `[T, N, C, L]`. */
export class AdaptiveAvgPool1d extends AdaptiveAvgPool {
  protected override readonly ranks: readonly number[] = [3];

  constructor(outputSize: Size, options: StepOptions = {}) {
    super(1, outputSize, options);
  }

  protected override step(x: Tensor): Tensor {
    return adaptiveAvgPool1d(x, this.outputSize);
  }
}

/** Mean of windows that give the output the wanted size, over `[N, C, H, W]`; in step mode 'm' over `[T, N, C, H, W]`. */
export class AdaptiveAvgPool2d extends AdaptiveAvgPool {
  protected override readonly ranks: readonly number[] = [4];

  constructor(outputSize: Size, options: StepOptions = {}) {
    super(2, outputSize, options);
  }

  protected override step(x: Tensor): Tensor {
    return adaptiveAvgPool2d(x, this.outputSize);
  }
}

abstract class GlobalSumPool extends StatelessLayer {
  /** The dimensions that are summed, from the last. */
  protected abstract readonly places: readonly number[];

  constructor(options: StepOptions = {}) {
    checkOptions(options, ['stepMode'], new.target.name);
    super(options.stepMode);
  }

  protected override step(x: Tensor): Tensor {
    return x.sum(this.places);
  }
}

/** Sum over the length: `[N, C, L]` -> `[N, C]`; in step mode 'm' `[T, N, C, L]` -> `[T, N, C]`. */
export class GlobalSumPool1d extends GlobalSumPool {
  protected override readonly ranks: readonly number[] = [3];
  protected override readonly places: readonly number[] = [-1];
}

/** Sum over the image: `[N, C, H, W]` -> `[N, C]`; in step mode 'm' `[T, N, C, H, W]` -> `[T, N, C]`. */
export class GlobalSumPool2d extends GlobalSumPool {
  protected override readonly ranks: readonly number[] = [4];
  protected override readonly places: readonly number[] = [-2, -1];
}
