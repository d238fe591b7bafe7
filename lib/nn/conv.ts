import { ShapeError } from '../errors.js';
import { checkOptions } from '../tensor/dispatch.js';
import { conv1d, conv2d, pad, type Tensor } from '../tensor/index.js';
import { argumentError } from '../tensor/operator.js';
import { checkInteger, checkSize, type Size } from './arguments.js';
import { defaultWeights } from './init.js';
import type { WeightOptions } from './linear.js';
import { learned, type Parameter } from './parameter.js';
import { StatelessLayer } from './step-module.js';

/** What stands around the input where it is padded. */
export type PaddingMode = 'zeros' | 'reflect' | 'replicate' | 'circular';

/** Options of the convolutions, with PyTorch's defaults. */
export interface ConvOptions extends WeightOptions {
  /** Default 1. */
  readonly stride?: Size | undefined;
  /** On both sides, or 'same' (stride 1) or 'valid'. Default 0. */
  readonly padding?: Size | 'same' | 'valid' | undefined;
  /** Default 'zeros'. */
  readonly paddingMode?: PaddingMode | undefined;
  /** Default 1. */
  readonly dilation?: Size | undefined;
  /** Blocks of channels that do not mix. Default 1. */
  readonly groups?: number | undefined;
}

const OPTIONS = ['stride', 'padding', 'paddingMode', 'dilation', 'groups', 'bias', 'dtype', 'stepMode'];
const PADDING_MODES: readonly unknown[] = ['zeros', 'reflect', 'replicate', 'circular'];

abstract class Conv extends StatelessLayer {
  /** Channels of the input. */
  readonly inChannels: number;
  /** Channels of the output. */
  readonly outChannels: number;
  /** One number a dimension, as the next ones. */
  readonly kernelSize: readonly number[];
  /** Steps of the kernel. */
  readonly stride: readonly number[];
  /** Elements added on both sides of each dimension, or in words. */
  readonly padding: readonly number[] | 'same' | 'valid';
  /** What stands there. */
  readonly paddingMode: PaddingMode;
  /** Distance of two elements under the kernel. */
  readonly dilation: readonly number[];
  /** Blocks of channels that do not mix. */
  readonly groups: number;
  /** `[outChannels, inChannels / groups, *kernelSize]` */
  weight: Parameter;
  /** `[outChannels]`, or null */
  bias: Parameter | null;

  constructor(dims: number, inChannels: number, outChannels: number, kernelSize: Size, options: ConvOptions) {
    const layer = new.target.name;
    checkOptions(options, OPTIONS, layer);
    super(options.stepMode);
    const size = (value: unknown, min: number, argument: string): readonly number[] =>
      checkSize(value, dims, min, layer, argument);
    this.inChannels = checkInteger(inChannels, 1, layer, 'inChannels');
    this.outChannels = checkInteger(outChannels, 1, layer, 'outChannels');
    this.kernelSize = size(kernelSize, 1, 'kernelSize');
    this.stride = size(options.stride ?? 1, 1, 'stride');
    const padding = options.padding ?? 0;
    this.padding = padding === 'same' || padding === 'valid' ? padding : size(padding, 0, 'padding');
    if (padding === 'same' && this.stride.some((step) => step !== 1)) {
      throw argumentError(layer, 'padding', "numbers or 'valid' with a stride other than 1", padding);
    }
    this.paddingMode = options.paddingMode ?? 'zeros';
    if (!PADDING_MODES.includes(this.paddingMode)) {
      throw argumentError(layer, 'paddingMode', `one of ${PADDING_MODES.join(', ')}`, this.paddingMode);
    }
    this.dilation = size(options.dilation ?? 1, 1, 'dilation');
    this.groups = checkInteger(options.groups ?? 1, 1, layer, 'groups');
    if (inChannels % this.groups !== 0 || outChannels % this.groups !== 0) {
      throw argumentError(
        layer,
        'groups',
        `a divisor of inChannels (${inChannels}) and outChannels (${outChannels})`,
        this.groups,
      );
    }
    const { dtype, bias = true } = options;
    this.weight = learned([outChannels, inChannels / this.groups, ...this.kernelSize], dtype);
    this.bias = bias ? learned([outChannels], dtype) : null;
    defaultWeights(this.weight, this.bias);
  }

  /** The operator on a padded or unpadded batch. */
  protected abstract convolve(x: Tensor, padding: Size | 'same' | 'valid'): Tensor;

  protected override step(x: Tensor): Tensor {
    if (x.shape[1] !== this.inChannels) {
      throw new ShapeError(
        `${this.constructor.name}: argument 'x' must have ${this.inChannels} channels, got shape [${x.shape}]`,
      );
    }
    const { padding, paddingMode } = this;
    if (paddingMode === 'zeros' || padding === 'valid') return this.convolve(x, padding);
    return this.convolve(pad(x, this.#border(padding), paddingMode), 0);
  }

  // Before and after each dimension, the last dimension first; an odd 'same' has its larger half after.
  #border(padding: readonly number[] | 'same'): number[] {
    const sides = this.kernelSize.map((length, i) => {
      if (padding !== 'same') return [padding[i]!, padding[i]!];
      const total = this.dilation[i]! * (length - 1);
      return [Math.floor(total / 2), Math.ceil(total / 2)];
    });
    return sides.reverse().flat();
  }

  protected override describe(): string {
    const { inChannels, outChannels, kernelSize, stride, padding, paddingMode, dilation, groups, bias } =
      this;
    return (
      `${inChannels}, ${outChannels}, kernelSize=[${kernelSize}], stride=[${stride}], padding=[${padding}], ` +
      `${paddingMode === 'zeros' ? '' : `paddingMode=${paddingMode}, `}dilation=[${dilation}], groups=${groups}, bias=${bias !== null}`
    );
  }
}

/** Convolution over `[N, C, L]`; in step mode 'm' over `[T, N, C, L]`. */
export class Conv1d extends Conv {
  protected override readonly ranks: readonly number[] = [3];

  constructor(inChannels: number, outChannels: number, kernelSize: Size, options: ConvOptions = {}) {
    super(1, inChannels, outChannels, kernelSize, options);
  }

  protected override convolve(x: Tensor, padding: Size | 'same' | 'valid'): Tensor {
    return conv1d(x, this.weight, this.bias, this.stride, padding, this.dilation, this.groups);
  }
}

/** Convolution over `[N, C, H, W]`; in step mode 'm' over `[T, N, C, H, W]`. */
export class Conv2d extends Conv {
  protected override readonly ranks: readonly number[] = [4];

  constructor(inChannels: number, outChannels: number, kernelSize: Size, options: ConvOptions = {}) {
    super(2, inChannels, outChannels, kernelSize, options);
  }

  protected override convolve(x: Tensor, padding: Size | 'same' | 'valid'): Tensor {
    return conv2d(x, this.weight, this.bias, this.stride, padding, this.dilation, this.groups);
  }
}
