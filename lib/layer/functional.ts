import { ConfigError, ShapeError } from '../errors.js';
import { type Module, overTime, type StepMode, StepModule } from '../nn/index.js';
import { shown } from '../parameters.js';
import { stack, type Tensor } from '../tensor/index.js';

/** Something that maps one time step to one time step. */
export type StepFunction =
  | ((x: Tensor) => Tensor)
  | {
      /** The step. */
      forward(x: Tensor): Tensor;
    };

/** Sets the step mode of every module in the network that has one. @throws ConfigError for anything but 's' and 'm' */
export function setStepMode(net: Module, mode: StepMode): void {
  if (mode !== 's' && mode !== 'm') throw new ConfigError(['stepMode'], 'one of "s", "m"', shown(mode));
  for (const module of net.modules()) if (module instanceof StepModule) module.stepMode = mode;
}

/** Calls `reset()` of every module in the network that has states; to be done between sequences. */
export function resetNet(net: Module): void {
  for (const module of net.modules()) if (hasMethod(module, 'reset')) module.reset();
}

/** Calls `detach()` of every module in the network that has states, for truncated backpropagation through time. */
export function detachNet(net: Module): void {
  for (const module of net.modules()) if (hasMethod(module, 'detach')) module.detach();
}

/**
 * Calls single-step modules for each step of `[T, N, *]` and stacks what they give. A list is called in order.
 * @throws ShapeError for an empty sequence, whose result would have no shape
 */
export function multiStepForward(xSeq: Tensor, fn: StepFunction | readonly StepFunction[]): Tensor {
  if (!(xSeq.shape[0]! > 0)) {
    throw new ShapeError(
      `multiStepForward: argument 'xSeq' must have at least one time step, got shape [${xSeq.shape}]`,
    );
  }
  return stack(xSeq.unbind(0).map(chain(fn)));
}

/** Calls modules without memory once, on `[T, N, *]` folded to `[T * N, *]`. */
export function seqToAnnForward(xSeq: Tensor, fn: StepFunction | readonly StepFunction[]): Tensor {
  return overTime(xSeq, chain(fn));
}

function chain(fn: StepFunction | readonly StepFunction[]): (x: Tensor) => Tensor {
  if (typeof fn === 'function') return fn;
  if ('forward' in fn) return (x) => fn.forward(x);
  const functions = fn.map(chain);
  return (x) => functions.reduce((y, step) => step(y), x);
}

function hasMethod<K extends string>(module: object, name: K): module is object & Record<K, () => void> {
  return typeof (module as Record<string, unknown>)[name] === 'function';
}
