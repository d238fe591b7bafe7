import { flag, type ParameterTable, parameter, positive, resolveParameters } from '../parameters.js';
import { Surrogate, type SurrogateOptions } from './surrogate.js';

export interface AlphaOptions extends SurrogateOptions {
  /** Steepness, > 0. */
  readonly alpha?: number | undefined;
}

abstract class AlphaSurrogate extends Surrogate {
  /** Steepness, > 0. */
  alpha: number;

  constructor(table: ParameterTable, options: AlphaOptions) {
    const { alpha, spiking } = resolveParameters<Required<AlphaOptions>>(table, options);
    super({ spiking });
    this.alpha = alpha as number;
  }

  override get values(): readonly number[] {
    return [this.alpha];
  }
}

function alphaTable(alpha: number): ParameterTable {
  return {
    alpha: parameter('alpha', positive().default(alpha)),
    spiking: parameter('spiking', flag().default(true)),
  };
}

/** Gradient α σ(αu) (1 - σ(αu)), primitive σ(αu); alpha defaults to 4. */
export class Sigmoid extends AlphaSurrogate {
  static readonly parameters: ParameterTable = alphaTable(4);
  override readonly kernel: string = 'Sigmoid';

  constructor(options: AlphaOptions = {}) {
    super(Sigmoid.parameters, options);
  }
}

/** Gradient (α/2) / (1 + (π/2 αu)²), primitive atan(π/2 αu)/π + 1/2 (Fang et al. 2021); alpha defaults to 2. */
export class ATan extends AlphaSurrogate {
  static readonly parameters: ParameterTable = alphaTable(2);
  override readonly kernel: string = 'ATan';

  constructor(options: AlphaOptions = {}) {
    super(ATan.parameters, options);
  }
}

/**
 * Gradient max(0, α - α²|u|), primitive 1/2 + αu - α²u|u|/2 for |u| <= 1/α, else 0 or 1 (Esser et al. 2016); alpha
 * defaults to 1.
 */
export class PiecewiseQuadratic extends AlphaSurrogate {
  static readonly parameters: ParameterTable = alphaTable(1);
  override readonly kernel: string = 'PiecewiseQuadratic';

  constructor(options: AlphaOptions = {}) {
    super(PiecewiseQuadratic.parameters, options);
  }
}
