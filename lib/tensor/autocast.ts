import { checkOptions } from './dispatch.js';
import { addon, argumentError, torchError } from './operator.js';
import { cudaIsAvailable } from './runtime.js';
import { refuseThenable } from './scope.js';

/** Options of `autocast`. */
export interface AutocastOptions {
  /** What matrix products and convolutions compute in. Default 'bfloat16' on the CPU, 'float16' on a GPU. */
  readonly dtype?: 'bfloat16' | 'float16' | undefined;
  /** Whose operators are meant. Default 'cpu'. */
  readonly device?: 'cpu' | 'cuda' | undefined;
  /** False switches autocast off, inside another region too. Default true. */
  readonly enabled?: boolean | undefined;
  /** Convert a float32 weight once a region, not at each use. Default true. */
  readonly cacheEnabled?: boolean | undefined;
}

const OPTIONS = ['dtype', 'device', 'enabled', 'cacheEnabled'];

/**
 * Calls the synchronous fn with mixed precision, and returns what it returns: operators on libtorch's lists (linear,
 * matmul, conv, ...) convert their floating-point inputs to `dtype`, others (losses) to float32, the rest compute in
 * the dtype that they get. Parameters stay float32 and get float32 gradients. Neurons are on no list: they give
 * spikes in the dtype of their input.
 *
 *     const loss = autocast({ dtype: 'bfloat16' }, () => crossEntropyLoss(net.forward(x), y));
 *     loss.backward();
 *
 * Weights must not change inside a region, since their converted copies are kept until the outermost one ends; so
 * `backward` and the optimizer's step belong outside. Asynchronous calls that were made inside a region have its
 * settings, but not its copies.
 * @throws TypeError for options, or when fn returns a promise; TorchError for 'cuda' where there is none
 */
export function autocast<R>(options: AutocastOptions, fn: () => R): R {
  checkOptions(options, OPTIONS, 'autocast');
  if (typeof fn !== 'function') throw argumentError('autocast', 'fn', 'a function', fn);
  const { device = 'cpu', enabled = true, cacheEnabled = true } = options;
  const { dtype = device === 'cuda' ? 'float16' : 'bfloat16' } = options;
  if (enabled && device === 'cuda' && !cudaIsAvailable()) {
    throw torchError('autocast: no cuda device is present');
  }
  addon().enterAutocast(device, enabled, dtype, cacheEnabled);
  try {
    return refuseThenable(fn(), 'autocast');
  } finally {
    addon().exitAutocast();
  }
}

/** Whether a region of `autocast` is on for the device. */
export function isAutocastEnabled(device: 'cpu' | 'cuda' = 'cpu'): boolean {
  return addon().autocastEnabled(device);
}
