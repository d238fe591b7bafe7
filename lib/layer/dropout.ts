import { checkNumber } from '../nn/arguments.js';
import type { StepOptions } from '../nn/index.js';
import { checkOptions } from '../tensor/dispatch.js';
import { dropout, noGrad, ones, type Tensor, tidy } from '../tensor/index.js';
import { MemoryModule, State, type StepLike } from './memory.js';

/**
 * Drops inputs with probability p and scales the rest by 1 / (1 - p), in training. Unlike PyTorch's, the mask is
 * drawn from the first step's shape and kept for all time steps and later calls until `reset()`: an input that is
 * dropped is silent for the whole sequence.
 */
export class Dropout extends MemoryModule {
  readonly p: number;
  readonly #mask: State;

  /** @param p probability in [0, 1]; default 0.5 */
  constructor(p: number = 0.5, options: StepOptions = {}) {
    checkOptions(options, ['stepMode'], 'Dropout');
    super(options.stepMode);
    this.p = checkNumber(p, 0, 1, 'Dropout', 'p');
    const draw = ({ shape, dtype, device }: StepLike): Tensor =>
      noGrad(() => tidy(() => dropout(ones(shape, { dtype, device }), p, true)));
    this.#mask = new State('Dropout', 'mask', () => 1, draw);
  }

  protected override states(): Iterable<State> {
    return [this.#mask];
  }

  override forward(x: Tensor): Tensor {
    if (!this.training) return x;
    const shape = this.stepMode === 'm' ? x.shape.slice(1) : x.shape;
    const mask = this.#mask.fit({ shape, dtype: x.dtype, device: x.device });
    this.#mask.take(mask);
    return x.mul(mask);
  }

  protected override describe(): string {
    return `p=${this.p}`;
  }
}
