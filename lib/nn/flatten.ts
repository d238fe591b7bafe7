import { checkOptions } from '../tensor/dispatch.js';
import type { Tensor } from '../tensor/index.js';
import { StatelessLayer, type StepOptions } from './step-module.js';

/** Options of `Flatten`, with PyTorch's defaults. */
export interface FlattenOptions extends StepOptions {
  /** First dimension of one step to flatten. Default 1. */
  readonly startDim?: number | undefined;
  /** Last dimension of one step to flatten. Default -1. */
  readonly endDim?: number | undefined;
}

/** `[N, C, H, W]` -> `[N, C * H * W]`; in step mode 'm' `[T, N, C, H, W]` -> `[T, N, C * H * W]`. */
export class Flatten extends StatelessLayer {
  protected override readonly ranks: readonly number[] = [];
  /** First dimension of one step that is flattened. */
  readonly startDim: number;
  /** Last dimension of one step that is flattened. */
  readonly endDim: number;

  constructor(options: FlattenOptions = {}) {
    checkOptions(options, ['startDim', 'endDim', 'stepMode'], 'Flatten');
    super(options.stepMode);
    this.startDim = options.startDim ?? 1;
    this.endDim = options.endDim ?? -1;
  }

  protected override step(x: Tensor): Tensor {
    return x.flatten(this.startDim, this.endDim);
  }

  protected override describe(): string {
    return `startDim=${this.startDim}, endDim=${this.endDim}`;
  }
}
