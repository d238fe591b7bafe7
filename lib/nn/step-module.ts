import { ConfigError, ShapeError } from '../errors.js';
import { shown } from '../parameters.js';
import type { Tensor } from '../tensor/index.js';
import { Module } from './module.js';

/** Single-step: one time step a call, `[N, *]`. Multi-step: a whole sequence, time first, `[T, N, *]`. */
export type StepMode = 's' | 'm';

/** A module that knows both step modes; `setStepMode(net, mode)` sets all of a network. */
export class StepModule extends Module {
  #stepMode: StepMode = 's';

  constructor(stepMode: StepMode = 's') {
    super();
    this.stepMode = stepMode;
  }

  /** Default 's'. @throws ConfigError for anything but 's' and 'm' */
  get stepMode(): StepMode {
    return this.#stepMode;
  }

  set stepMode(mode: StepMode) {
    if (mode !== 's' && mode !== 'm') throw new ConfigError(['stepMode'], `one of "s", "m"`, shown(mode));
    this.#stepMode = mode;
  }
}

/** What the layers below take besides their own options. */
export interface StepOptions {
  /** Default 's'. */
  readonly stepMode?: StepMode | undefined;
}

/**
 * A layer without memory: in multi-step mode time is folded into the batch, since no step depends on another. A
 * sequence that is one step repeated (`x.expand([T, ...])`, stride 0 in time) is computed once and comes out repeated.
 */
export abstract class StatelessLayer extends StepModule {
  /** The ranks that one step `[N, *]` may have. */
  protected abstract readonly ranks: readonly number[];

  /** The layer on one batch. */
  protected abstract step(x: Tensor): Tensor;

  /** The layer on one step of a sequence that has it `times` times; a layer that sees the whole batch overrides it. */
  protected once(x: Tensor, _times: number): Tensor {
    return this.step(x);
  }

  /** @throws ShapeError for an input of another rank than the layer takes in its step mode */
  override forward(x: Tensor): Tensor {
    const timed = this.stepMode === 'm';
    const rank = x.ndim - (timed ? 1 : 0);
    if (this.ranks.length > 0 && !this.ranks.includes(rank)) {
      const wanted = this.ranks.map((r) => (timed ? r + 1 : r)).join(' or ');
      const layout = timed ? '[T, N, *] (step mode m)' : '[N, *] (step mode s)';
      throw new ShapeError(
        `${this.constructor.name}: argument 'x' must have ${wanted} dimensions, ${layout}, got shape [${x.shape}]`,
      );
    }
    if (!timed) return this.step(x);
    return applyRepeated(x, (one, times) => this.once(one, times)) ?? overTime(x, (all) => this.step(all));
  }
}

/**
 * Applies `fn` to one step of a sequence that is the same in all of them, which its stride of 0 in time shows, and
 * repeats the result without a copy; the gradient of that is the sum over time. Null for any other sequence.
 */
export function applyRepeated(xSeq: Tensor, fn: (x: Tensor, times: number) => Tensor): Tensor | null {
  const [times = 0] = xSeq.shape;
  if (times < 2 || xSeq.strides[0] !== 0) return null;
  const y = fn(xSeq.select(0, 0), times);
  return y.unsqueeze(0).expand([times, ...y.shape]);
}

/**
 * Applies a function without memory to a sequence: `[T, N, *]` goes through it as `[T * N, *]`.
 * @throws ShapeError for an input of fewer than two dimensions
 */
export function overTime(xSeq: Tensor, fn: (x: Tensor) => Tensor): Tensor {
  const [steps, batch, ...rest] = xSeq.shape;
  if (steps === undefined || batch === undefined) {
    throw new ShapeError(`a sequence must have the shape [T, N, *], got [${xSeq.shape}]`);
  }
  const y = fn(xSeq.reshape([steps * batch, ...rest]));
  return y.reshape([steps, batch, ...y.shape.slice(1)]);
}
