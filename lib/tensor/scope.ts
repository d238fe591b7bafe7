import type { Addon } from '../native/addon.js';
import { addon, argumentError, codedTypeError } from './operator.js';
import { owners } from './owner.js';
import { handleOf, keptBy, type Tensor } from './tensor.js';

let current: Scope | null = null;

/**
 * Owns the tensors made while it runs, and gives their memory back when it is disposed.
 * A scope is entered for synchronous stretches only, so it can be used in asynchronous code:
 *
 *     using step = new Scope();
 *     const loss = step.run(() => lossOf(model.forward(x)));
 *     await loss.backwardAsync();
 */
export class Scope implements Disposable {
  #tensors: Tensor[] = [];
  #disposed = false;

  /** Calls fn with this scope as the owner of new tensors; returns what fn returns. */
  run<R>(fn: () => R): R {
    if (this.#disposed) throw codedTypeError('Scope.run: the scope has been disposed');
    const outer = current;
    current = this;
    try {
      return refuseThenable(fn(), 'Scope.run');
    } finally {
      current = outer;
    }
  }

  /** Takes a tensor in; it lives until the scope ends. */
  add(tensor: Tensor): void {
    this.#tensors.push(tensor);
  }

  /** Disposes what the scope owns, except for kept tensors; it cannot run again. */
  dispose(): void {
    this.#disposed = true;
    this.release(noTensors);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Disposes what the scope owns, except for the given tensors and for kept ones. */
  release(survivors: ReadonlySet<Tensor>): void {
    const tensors = this.#tensors;
    this.#tensors = [];
    for (let i = tensors.length - 1; i >= 0; i--) {
      const tensor = tensors[i] as Tensor;
      if (keptBy(tensor) !== null) continue;
      if (survivors.has(tensor)) adopt(tensor);
      else tensor.dispose();
    }
  }
}

const noTensors: ReadonlySet<Tensor> = new Set();

/** Gives a new tensor its owner: the current scope, else the garbage collector. */
export function adopt(tensor: Tensor): void {
  if (current !== null) current.add(tensor);
  else track(tensor);
}

/** grad mode and scopes would leak over an await; `what` names the function. */
export function refuseThenable<R>(result: R, what: string): R {
  if (
    result !== null &&
    typeof result === 'object' &&
    typeof (result as { then?: unknown }).then === 'function'
  ) {
    (result as unknown as Promise<unknown>).then(undefined, () => {});
    throw codedTypeError(`${what}: the function must be synchronous, but it returned a promise`);
  }
  return result;
}

/** Adds the tensors inside a result to `found`; `isTensor` tells them. */
function collect(
  value: unknown,
  found: Set<Tensor>,
  seen: Set<object>,
  isTensor: (value: object) => value is Tensor,
): void {
  if (value === null || typeof value !== 'object' || seen.has(value)) return;
  seen.add(value);
  if (isTensor(value)) found.add(value);
  else if (ArrayBuffer.isView(value)) return;
  else if (value instanceof Map) for (const pair of value) collect(pair, found, seen, isTensor);
  else if (Symbol.iterator in value)
    for (const item of value as Iterable<unknown>) collect(item, found, seen, isTensor);
  else if (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null)
    for (const item of Object.values(value)) collect(item, found, seen, isTensor);
}

/**
 * Calls fn and disposes every tensor made in it, except those in the result: a tensor, or an array, plain
 * object, Map or other iterable of them. fn must be synchronous (`TypeError` on a promise).
 */
export function tidyWith<R>(fn: () => R, isTensor: (value: object) => value is Tensor): R {
  if (typeof fn !== 'function') throw argumentError('tidy', 'fn', 'a function', fn);
  const scope = new Scope();
  try {
    const result = scope.run(fn);
    const survivors = new Set<Tensor>();
    collect(result, survivors, new Set(), isTensor);
    scope.release(survivors);
    return result;
  } catch (error) {
    scope.dispose();
    throw error;
  }
}

// The safety net for tensors that no scope owns. Finalizers run only on a real turn of the event loop.
const finalizers = new FinalizationRegistry<number>((handle) => addon().dispose(handle));

const WARNING_BYTES = 1024 ** 3;
let turnStart = -1;
let warned = false;

function track(tensor: Tensor): void {
  const native: Addon = addon();
  const handle = handleOf(tensor);
  finalizers.register(tensor, handle);
  const bytes = native.track(handle);
  if (turnStart < 0) {
    turnStart = bytes;
    setImmediate(() => {
      turnStart = -1;
    }).unref();
  } else if (!warned && bytes - turnStart > WARNING_BYTES) {
    warned = true;
    process.emitWarning(
      `${Math.round((bytes - turnStart) / 2 ** 20)} MiB of tensors were made outside a scope without a turn of the event loop, so ` +
        'nothing could be collected. Wrap the loop body in tidy(() => ...), dispose tensors (using x = ...), or await a real ' +
        'turn (setImmediate) in each step.',
      { type: 'SpikenodeMemoryWarning', code: 'SPIKENODE_UNDISPOSED' },
    );
  }
}

/**
 * For keep(): the tensor has an owner; the finalizer stays as safety net.
 * @param isNew whether its handle has no finalizer of a kept tensor yet
 */
export function unscope(tensor: Tensor, isNew: boolean = true): void {
  const handle = handleOf(tensor);
  if (isNew) finalizers.register(tensor, handle);
  addon().own(handle, owners.indexOf(keptBy(tensor) ?? 'kept'));
}
