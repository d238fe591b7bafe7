import { addon, argumentError } from './operator.js';
import { fromHandle, handleOf, type Tensor } from './tensor.js';
import type { Device } from './types.js';

/** Seeds libtorch's default generators, on every device. @param seed safe integer or bigint */
export function manualSeed(seed: number | bigint): void {
  addon().manualSeed(seed);
}

/** State of a device's default generator, a uint8 tensor on the CPU. Default 'cpu'. @throws TorchError without the device */
export function getRngState(device: Device = 'cpu'): Tensor {
  return fromHandle(addon().generatorState(device));
}

/** Takes over what `getRngState` gave for the same kind of device. @throws TorchError without the device */
export function setRngState(state: Tensor, device: Device = 'cpu'): void {
  addon().setGeneratorState(device, handleOf(state, 'setRngState', 'state'));
}

let readHandle: (value: Generator) => number | undefined;

const finalizers = new FinalizationRegistry<number>((handle) => addon().dispose(handle));

/** A source of random numbers of its own (CPU: mt19937, the numbers of PyTorch for the same seed). */
export class Generator implements Disposable {
  readonly #handle: number;

  static {
    readHandle = (value) => (#handle in value ? value.#handle : undefined);
  }

  constructor(options: { readonly device?: Device; readonly seed?: number | bigint } = {}) {
    this.#handle = addon().createGenerator(options.device ?? 'cpu', options.seed ?? 67280421310721n);
    finalizers.register(this, this.#handle);
  }

  /** Begins anew from a seed, a safe integer or bigint; returns this. */
  manualSeed(seed: number | bigint): this {
    addon().seedGenerator(this.#handle, seed);
    return this;
  }

  /** Its state, a uint8 tensor. */
  getState(): Tensor {
    return fromHandle(addon().generatorState(this.#handle));
  }

  /** Takes over what `getState` gave; returns this. */
  setState(state: Tensor): this {
    addon().setGeneratorState(this.#handle, handleOf(state, 'setState', 'state'));
    return this;
  }

  /** Gives its memory back; harmless when repeated. */
  dispose(): void {
    addon().dispose(this.#handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** @throws TypeError that names operator and argument */
export function generatorHandle(value: unknown, op: string, argument: string): number {
  const handle = value instanceof Generator ? readHandle(value) : undefined;
  if (handle === undefined) throw argumentError(op, argument, 'a Generator', value);
  return handle;
}
