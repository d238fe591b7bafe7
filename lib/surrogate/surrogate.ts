import { flag, type ParameterTable, parameter } from '../parameters.js';
import {
  enableGrad,
  integrateFire,
  noGrad,
  surrogateIdentity,
  type Tensor,
  zerosLike,
} from '../tensor/index.js';

/** What every surrogate takes. */
export interface SurrogateOptions {
  /** Spikes 0 and 1 with the surrogate's gradient (default), or else the differentiable primitive itself. */
  readonly spiking?: boolean | undefined;
}

/** The parameter that every surrogate has. */
export const surrogateParameters: ParameterTable = { spiking: parameter('spiking', flag().default(true)) };

/**
 * The gradient that stands in for that of the spike Θ(u), u = v - v_threshold. A surrogate of one's own is a subclass
 * with `derivative`, and with `primitive` if it shall have a smooth mode; its neuron then runs step by step on
 * libtorch's operators instead of in one kernel.
 */
export abstract class Surrogate {
  /** Spikes with the surrogate's gradient, or else the primitive. */
  spiking: boolean;

  constructor(options: SurrogateOptions = {}) {
    this.spiking = options.spiking ?? true;
  }

  /** The surrogate's name in the kernels; null for one that they do not have. */
  get kernel(): string | null {
    return null;
  }

  /** Its parameters in the kernel's order. */
  get values(): readonly number[] {
    return [];
  }

  /** The local gradient dΘ/du, of the shape and dtype of `u`; no gradient is recorded through it. */
  abstract derivative(u: Tensor): Tensor;

  /** The differentiable function whose derivative it is, for the smooth mode. @throws TypeError if there is none */
  primitive(_u: Tensor): Tensor {
    throw new TypeError(`${this.constructor.name} has no primitive, so 'spiking' must be true`);
  }

  /** Θ(u), 1 where u >= 0, with the surrogate's gradient; in the smooth mode its primitive. Any shape. */
  forward(u: Tensor): Tensor {
    if (!this.spiking) return this.primitive(u);
    const gradient = noGrad(() => this.derivative(u.detach()));
    return surrogateIdentity(u, gradient);
  }

  /** Class and parameters. */
  toString(): string {
    return `${this.constructor.name}(${this.values.join(', ')}${this.spiking ? '' : ', spiking=false'})`;
  }
}

/** A surrogate of the kernels: an object names it and holds its parameters, plain fields that are not learned. */
export abstract class KernelSurrogate extends Surrogate {
  abstract override get kernel(): string;

  override derivative(u: Tensor): Tensor {
    // The gradient of one spike, at a copy that belongs to no other graph.
    const at = u.detach();
    at.requiresGrad = true;
    enableGrad(() => this.#spike(at, true).sum().backward());
    return at.grad as Tensor;
  }

  override primitive(u: Tensor): Tensor {
    return this.#spike(u, false);
  }

  override forward(u: Tensor): Tensor {
    return this.#spike(u, this.spiking);
  }

  // One step of a neuron that starts at 0 and fires at 0 sees u itself. Its reset says nothing of the spike's gradient,
  // so it is the one whose own stays 0 for an infinite u.
  #spike(u: Tensor, spiking: boolean): Tensor {
    const start = zerosLike(u).to(u.dtype === 'float64' ? 'float64' : 'float32');
    const [s] = integrateFire(u.unsqueeze(0), start, {
      vThreshold: 0,
      vReset: null,
      detachReset: true,
      surrogate: this.kernel,
      surrogateParams: this.values,
      spiking,
    });
    return s.squeeze(0);
  }
}
