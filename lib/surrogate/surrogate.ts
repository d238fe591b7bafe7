import { integrateFire, type Tensor, zerosLike } from '../tensor/index.js';

/** What every surrogate takes. */
export interface SurrogateOptions {
  /** Spikes 0 and 1 with the surrogate's gradient (default), or else the differentiable primitive itself. */
  readonly spiking?: boolean | undefined;
}

/**
 * The gradient that stands in for that of the spike Θ(u), u = v - v_threshold. The maths is in the kernels; an
 * object names it and holds its parameters, which are plain fields and are not learned.
 */
export abstract class Surrogate {
  /** Spikes with the surrogate's gradient, or else the primitive. */
  spiking: boolean;

  constructor(options: SurrogateOptions) {
    this.spiking = options.spiking ?? true;
  }

  /** The surrogate's name in the kernels. */
  abstract readonly kernel: string;

  /** Its parameters in the kernel's order. */
  abstract readonly values: readonly number[];

  /** Θ(u), 1 where u >= 0, with the surrogate's gradient; in the smooth mode its primitive. Any shape. */
  forward(u: Tensor): Tensor {
    // One step of a neuron that starts at 0 and fires at 0 sees u itself.
    const [s] = integrateFire(u.unsqueeze(0), zerosLike(u), {
      vThreshold: 0,
      surrogate: this.kernel,
      surrogateParams: this.values,
      spiking: this.spiking,
    });
    return s.squeeze(0);
  }

  toString(): string {
    return `${this.constructor.name}(${this.values.join(', ')}${this.spiking ? '' : ', spiking=false'})`;
  }
}
