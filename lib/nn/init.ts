import { type Generator, noGrad, type Tensor } from '../tensor/index.js';
import { argumentError } from '../tensor/operator.js';

/** The functions whose gain is known; `leaky_relu` and `selu` as in PyTorch. */
export type Nonlinearity = 'linear' | 'conv' | 'sigmoid' | 'tanh' | 'relu' | 'leaky_relu' | 'selu';

/** Which of the two counts keeps the variance: that of the activations or that of the gradients. */
export type FanMode = 'fan_in' | 'fan_out';

/** Where the random numbers come from; default: libtorch's own generator (`manualSeed`). */
export interface InitOptions {
  /** Null is libtorch's own too. */
  readonly generator?: Generator | null;
}

/** Options of the initialisers after He et al., arXiv:1502.01852. */
export interface KaimingOptions extends InitOptions {
  /** Slope of the leaky ReLU that follows. Default 0. */
  readonly a?: number;
  /** Default 'fan_in'. */
  readonly mode?: FanMode;
  /** Default 'leaky_relu'. */
  readonly nonlinearity?: Nonlinearity;
}

/** Factor of the standard deviation that a nonlinearity asks for. */
export function calculateGain(nonlinearity: Nonlinearity, slope: number = 0.01): number {
  switch (nonlinearity) {
    case 'linear':
    case 'conv':
    case 'sigmoid':
      return 1;
    case 'tanh':
      return 5 / 3;
    case 'relu':
      return Math.sqrt(2);
    case 'leaky_relu':
      return Math.sqrt(2 / (1 + slope ** 2));
    case 'selu':
      return 3 / 4;
    default:
      throw argumentError('calculateGain', 'nonlinearity', 'the name of a nonlinearity', nonlinearity);
  }
}

/** Inputs and outputs of one unit of a weight `[out, in, *kernel]`. */
export function fanInAndFanOut(weight: Tensor): {
  /** Inputs times the kernel's size. */
  readonly fanIn: number;
  /** Outputs times the kernel's size. */
  readonly fanOut: number;
} {
  const [out, inputs, ...kernel] = weight.shape;
  if (out === undefined || inputs === undefined) {
    throw argumentError('fanInAndFanOut', 'weight', 'a tensor of at least two dimensions', weight.shape);
  }
  const field = kernel.reduce((product, size) => product * size, 1);
  return { fanIn: inputs * field, fanOut: out * field };
}

/** Fills with U(low, high); returns the tensor, as all initialisers do. */
export function uniform<T extends Tensor>(
  tensor: T,
  low: number = 0,
  high: number = 1,
  options: InitOptions = {},
): T {
  noGrad(() => tensor.uniform_(low, high, { generator: options.generator }));
  return tensor;
}

/** Fills with N(mean, std^2). */
export function normal<T extends Tensor>(
  tensor: T,
  mean: number = 0,
  std: number = 1,
  options: InitOptions = {},
): T {
  noGrad(() => tensor.normal_(mean, std, { generator: options.generator }));
  return tensor;
}

/** Fills with one value. */
export function constant<T extends Tensor>(tensor: T, value: number): T {
  noGrad(() => tensor.fill_(value));
  return tensor;
}

/** U(-b, b) with b = gain * sqrt(3 / fan). */
export function kaimingUniform<T extends Tensor>(tensor: T, options: KaimingOptions = {}): T {
  const bound = Math.sqrt(3) * kaimingStd(tensor, options);
  return uniform(tensor, -bound, bound, options);
}

/** N(0, gain^2 / fan). */
export function kaimingNormal<T extends Tensor>(tensor: T, options: KaimingOptions = {}): T {
  return normal(tensor, 0, kaimingStd(tensor, options), options);
}

/** U(-b, b) with b = gain * sqrt(6 / (fanIn + fanOut)), after Glorot and Bengio 2010. */
export function xavierUniform<T extends Tensor>(tensor: T, gain: number = 1, options: InitOptions = {}): T {
  const bound = Math.sqrt(3) * xavierStd(tensor, gain);
  return uniform(tensor, -bound, bound, options);
}

/** N(0, gain^2 * 2 / (fanIn + fanOut)), after Glorot and Bengio 2010. */
export function xavierNormal<T extends Tensor>(tensor: T, gain: number = 1, options: InitOptions = {}): T {
  return normal(tensor, 0, xavierStd(tensor, gain), options);
}

/** Weight and bias as PyTorch's Linear and Conv layers start: both U(-1/sqrt(fanIn), 1/sqrt(fanIn)). */
export function defaultWeights(weight: Tensor, bias: Tensor | null): void {
  kaimingUniform(weight, { a: Math.sqrt(5) });
  if (bias === null) return;
  const { fanIn } = fanInAndFanOut(weight);
  const bound = fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0;
  uniform(bias, -bound, bound);
}

function kaimingStd(tensor: Tensor, options: KaimingOptions): number {
  const { a = 0, mode = 'fan_in', nonlinearity = 'leaky_relu' } = options;
  const { fanIn, fanOut } = fanInAndFanOut(tensor);
  if (mode !== 'fan_in' && mode !== 'fan_out') {
    throw argumentError('kaiming', 'mode', "'fan_in' or 'fan_out'", mode);
  }
  return calculateGain(nonlinearity, a) / Math.sqrt(mode === 'fan_in' ? fanIn : fanOut);
}

function xavierStd(tensor: Tensor, gain: number): number {
  const { fanIn, fanOut } = fanInAndFanOut(tensor);
  return gain * Math.sqrt(2 / (fanIn + fanOut));
}
