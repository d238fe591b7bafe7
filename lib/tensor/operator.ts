import { DisposedError, DTypeError, OutOfMemoryError, ShapeError, TorchError } from '../errors.js';
import type { Addon } from '../native/addon.js';
import { cudaAdvice } from '../native/cuda.js';
import { nativeAddon } from '../native/loader.js';

let ready: Addon | undefined;

/** The addon, loaded on the first call, with the error classes of this environment. */
export function addon(): Addon {
  if (ready !== undefined) return ready;
  const loaded = nativeAddon();
  // In the order of ErrorClass in native/node/bridge.h.
  loaded.setErrorClasses([
    codedTypeError,
    DTypeError,
    ShapeError,
    DisposedError,
    OutOfMemoryError,
    torchError,
  ]);
  ready = loaded;
  return loaded;
}

/** A `TorchError`; where it is about a GPU that cannot be used, with the reason and the cure. */
export function torchError(message: string): TorchError {
  const advice = cudaAdvice(message, () => ready?.cudaDeviceCount() ?? 0);
  return new TorchError(
    advice === null ? message : `${message.split('\n')[0]!.replace(/\.$/, '')}. ${advice}`,
  );
}

/** A plain `TypeError` with the stable code that docs/errors.md lists for wrong arguments. */
export function codedTypeError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: 'ERR_SPIKENODE_TYPE' });
}

/** `TypeError` "add: argument 'other' must be a Tensor, got a string". */
export function argumentError(op: string, argument: string, expected: string, got: unknown): TypeError {
  return codedTypeError(`${op}: argument '${argument}' must be ${expected}, got ${describe(got)}`);
}

/** What an error message says of a wrong value. */
export function describe(value: unknown): string {
  if (value === null || value === undefined || typeof value === 'number') return String(value);
  if (typeof value === 'string')
    return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value);
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** An operator of libtorch's dispatcher, looked up on its first use. */
export class Operator {
  /** The operator's number in the addon, valid after `bound()`. */
  id = -1;
  readonly #name: string;
  readonly #overload: string;

  /** @param name with namespace, `aten::add`; @param overload `Tensor`, or '' */
  constructor(name: string, overload: string) {
    this.#name = name;
    this.#overload = overload;
  }

  /** The addon, with `id` resolved. */
  bound(): Addon {
    if (this.id < 0) this.id = addon().findOperator(this.#name, this.#overload);
    return ready as Addon;
  }
}
