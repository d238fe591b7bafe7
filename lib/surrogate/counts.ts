import { ConfigError } from '../errors.js';
import { finite, integer, list, type ParameterTable, parameter, resolveParameters } from '../parameters.js';
import { noGrad, onesLike, type Tensor } from '../tensor/index.js';
import { Surrogate, type SurrogateOptions, surrogateParameters } from './surrogate.js';

// Surrogates whose spike is something else than Θ(u).

// `value` with the gradient of `through`: what is added is 0.
function straightThrough(value: Tensor, through: Tensor): Tensor {
  return value.add(through.sub(through.detach()));
}

/** A spike with probability u, which must be from 0 to 1; gradient 1, primitive u. */
export class PoissonPass extends Surrogate {
  static readonly parameters: ParameterTable = surrogateParameters;

  constructor(options: SurrogateOptions = {}) {
    super(resolveParameters<SurrogateOptions>(PoissonPass.parameters, options));
  }

  override derivative(u: Tensor): Tensor {
    return onesLike(u);
  }

  override primitive(u: Tensor): Tensor {
    return u;
  }

  override forward(u: Tensor): Tensor {
    if (!this.spiking) return this.primitive(u);
    const drawn = noGrad(() => u.detach().bernoulli());
    return straightThrough(drawn, u);
  }
}

/** Options of `MultiLevelSpikeCount`. */
export interface MultiLevelSpikeCountOptions extends SurrogateOptions {
  /** The most spikes at once, >= 1. */
  readonly maxSpikeCount: number;
  /** Where the gradient is 1, both ends included. Default [0, maxSpikeCount]. */
  readonly gradWindow?: readonly [number, number] | null | undefined;
}

interface MultiLevelParameters {
  readonly maxSpikeCount: number;
  readonly gradWindow: readonly number[] | null;
  readonly spiking: boolean;
}

/**
 * A count of spikes, u rounded half to even and cut to 0 and `maxSpikeCount`; gradient 1 in a window, else 0; primitive
 * u cut to 0 and `maxSpikeCount`.
 */
export class MultiLevelSpikeCount extends Surrogate {
  static readonly parameters: ParameterTable = {
    maxSpikeCount: parameter('max_spike_count', integer(1)),
    gradWindow: parameter('grad_window', list(finite()).length(2).nullable().default(null)),
    ...surrogateParameters,
  };

  /** The most spikes at once. */
  maxSpikeCount: number;
  /** Where the gradient is 1, both ends included. */
  gradWindow: readonly [number, number];

  /** @throws ConfigError, also for a window whose end is below its beginning */
  constructor(options: MultiLevelSpikeCountOptions) {
    const own = resolveParameters<MultiLevelParameters>(MultiLevelSpikeCount.parameters, options);
    super(own);
    this.maxSpikeCount = own.maxSpikeCount;
    const [low, high] = (own.gradWindow ?? [0, own.maxSpikeCount]) as [number, number];
    if (low > high) throw new ConfigError(['gradWindow'], 'two numbers in rising order', `[${low}, ${high}]`);
    this.gradWindow = [low, high];
  }

  override derivative(u: Tensor): Tensor {
    const [low, high] = this.gradWindow;
    return u.ge(low).logicalAnd(u.le(high)).to(u.dtype);
  }

  override primitive(u: Tensor): Tensor {
    return this.#counted(u, false);
  }

  override forward(u: Tensor): Tensor {
    return this.#counted(u, this.spiking);
  }

  #counted(u: Tensor, rounded: boolean): Tensor {
    const [count, flat] = noGrad(() => {
      const cut = u.detach().clamp(0, this.maxSpikeCount);
      return [rounded ? cut.round() : cut, this.derivative(u.detach()).eq(0)];
    });
    // Not u times the slope, which is NaN for an infinite u.
    return straightThrough(count, u.maskedFill(flat, 0));
  }

  override toString(): string {
    return `MultiLevelSpikeCount(${this.maxSpikeCount}${this.spiking ? '' : ', spiking=false'})`;
  }
}
