import { ShapeError } from '../errors.js';
import { checkNumber } from '../nn/arguments.js';
import { applyRepeated, type StepOptions } from '../nn/index.js';
import { checkOptions } from '../tensor/dispatch.js';
import { dropout, noGrad, ones, type Tensor, tidy } from '../tensor/index.js';
import { MemoryModule, State, type StepLike } from './memory.js';

/**
 * Drops inputs with probability p and scales the rest by 1 / (1 - p), in training. Unlike PyTorch's, the mask is
 * drawn from the first step's shape and kept for all time steps and later calls until `reset()`: an input that is
 * dropped is silent for the whole sequence.
 */
export class Dropout extends MemoryModule {
  /** Probability that an input is dropped. */
  readonly p: number;
  readonly #mask: State;

  /** @param p probability in [0, 1]; default 0.5 */
  constructor(p: number = 0.5, options: StepOptions = {}) {
    const layer = new.target.name;
    checkOptions(options, ['stepMode'], layer);
    super(options.stepMode);
    this.p = checkNumber(p, 0, 1, layer, 'p');
    const draw = ({ shape, dtype, device }: StepLike): Tensor =>
      noGrad(() => tidy(() => dropout(ones(shape, { dtype, device }), p, true)));
    this.#mask = new State(layer, 'mask', () => 1, draw);
  }

  protected override states(): Iterable<State> {
    return [this.#mask];
  }

  override forward(x: Tensor): Tensor {
    if (!this.training) return x;
    const timed = this.stepMode === 'm';
    const shape = this.maskShape(timed ? x.shape.slice(1) : x.shape);
    const mask = this.#mask.fit({ shape, dtype: x.dtype, device: x.device });
    this.#mask.take(mask);
    return (timed ? applyRepeated(x, (one) => one.mul(mask)) : null) ?? x.mul(mask);
  }

  /** The shape of the mask for a step of a shape. */
  protected maskShape(step: readonly number[]): readonly number[] {
    return step;
  }

  protected override describe(): string {
    return `p=${this.p}`;
  }
}

/** Drops whole channels of `[N, C, H, W]` (step mode 'm': `[T, N, C, H, W]`), with one mask as `Dropout` has it. */
export class Dropout2d extends Dropout {
  /** @param p probability in [0, 1]; default 0.2 */
  constructor(p: number = 0.2, options: StepOptions = {}) {
    super(p, options);
  }

  /** @throws ShapeError for a step of another rank */
  protected override maskShape(step: readonly number[]): readonly number[] {
    const [batch, channels, ...map] = step;
    if (batch === undefined || channels === undefined || map.length !== 2) {
      throw new ShapeError(
        `Dropout2d: argument 'x' must have the shape [N, C, H, W] in each step, got [${step}]`,
      );
    }
    return [batch, channels, 1, 1];
  }
}
