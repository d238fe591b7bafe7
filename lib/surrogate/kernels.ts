import {
  finite,
  flag,
  integer,
  type ParameterTable,
  parameter,
  positive,
  resolveParameters,
} from '../parameters.js';
import { KernelSurrogate, type SurrogateOptions, surrogateParameters } from './surrogate.js';

// The surrogates of the kernels; formulas, names and defaults are those of SpikingJelly.

/** Options of the surrogates with the one parameter alpha; each has a default of its own. */
export interface AlphaOptions extends SurrogateOptions {
  /** Steepness, > 0. */
  readonly alpha?: number | undefined;
}

abstract class AlphaSurrogate extends KernelSurrogate {
  /** Steepness. */
  alpha: number;

  constructor(table: ParameterTable, options: AlphaOptions) {
    const own = resolveParameters<Required<AlphaOptions>>(table, options);
    super(own);
    this.alpha = own.alpha as number;
  }

  override get values(): readonly number[] {
    return [this.alpha];
  }
}

function alphaTable(alpha: number, mode: ParameterTable = surrogateParameters): ParameterTable {
  return { alpha: parameter('alpha', positive().default(alpha)), ...mode };
}

// The smooth mode is refused where a configuration asks for it, not at the first input.
function alwaysSpiking(name: string): ParameterTable {
  const check = flag().refine((on) => on, `true, since ${name} has no primitive`);
  return { spiking: parameter('spiking', check.default(true)) };
}

/** Gradient α σ(αu) (1 - σ(αu)), primitive σ(αu); alpha defaults to 4. */
export class Sigmoid extends AlphaSurrogate {
  static readonly parameters: ParameterTable = alphaTable(4);

  constructor(options: AlphaOptions = {}) {
    super(Sigmoid.parameters, options);
  }

  override get kernel(): string {
    return 'Sigmoid';
  }
}

/**
 * Gradient (α/2) / (1 + (π/2 αu)²), primitive atan(π/2 αu)/π + 1/2 (Fang et al. 2021); alpha defaults to 2.
 */
export class ATan extends AlphaSurrogate {
  static readonly parameters: ParameterTable = alphaTable(2);

  constructor(options: AlphaOptions = {}) {
    super(ATan.parameters, options);
  }

  override get kernel(): string {
    return 'ATan';
  }
}

/**
 * Gradient max(0, α - α²|u|), primitive 1/2 + αu - α²u|u|/2 for |u| <= 1/α, else 0 or 1 (Esser et al. 2016); alpha
 * defaults to 1.
 */
export class PiecewiseQuadratic extends AlphaSurrogate {
  static readonly parameters: ParameterTable = alphaTable(1);

  constructor(options: AlphaOptions = {}) {
    super(PiecewiseQuadratic.parameters, options);
  }

  override get kernel(): string {
    return 'PiecewiseQuadratic';
  }
}

/** Gradient (α/2) e^(-α|u|), primitive e^(αu)/2 below 0, 1 - e^(-αu)/2 above; alpha defaults to 1. */
export class PiecewiseExp extends AlphaSurrogate {
  static readonly parameters: ParameterTable = alphaTable(1);

  constructor(options: AlphaOptions = {}) {
    super(PiecewiseExp.parameters, options);
  }

  override get kernel(): string {
    return 'PiecewiseExp';
  }
}

/** Gradient 1 / (2α (1/α + |u|)²), primitive (αu / (1 + |αu|) + 1) / 2; alpha defaults to 2. */
export class SoftSign extends AlphaSurrogate {
  static readonly parameters: ParameterTable = alphaTable(2);

  constructor(options: AlphaOptions = {}) {
    super(SoftSign.parameters, options);
  }

  override get kernel(): string {
    return 'SoftSign';
  }
}

/**
 * Gradient α / (1 + |u|)², no primitive; alpha defaults to 1. Here alpha scales the result; Zenke and Ganguli
 * (2018) scale u.
 */
export class SuperSpike extends AlphaSurrogate {
  static readonly parameters: ParameterTable = alphaTable(1, alwaysSpiking('SuperSpike'));

  constructor(options: AlphaOptions = {}) {
    super(SuperSpike.parameters, options);
  }

  override get kernel(): string {
    return 'SuperSpike';
  }
}

/** Gradient (α/√π) e^(-α²u²), primitive erfc(-αu)/2; alpha defaults to 2. */
export class Erf extends AlphaSurrogate {
  static readonly parameters: ParameterTable = alphaTable(2);

  constructor(options: AlphaOptions = {}) {
    super(Erf.parameters, options);
  }

  override get kernel(): string {
    return 'Erf';
  }
}

/** Gradient 1 / (1/α + |u|), primitive sgn(u) ln(α|u| + 1) with sgn(0) = 1; alpha defaults to 1. */
export class NonzeroSignLogAbs extends AlphaSurrogate {
  static readonly parameters: ParameterTable = alphaTable(1);

  constructor(options: AlphaOptions = {}) {
    super(NonzeroSignLogAbs.parameters, options);
  }

  override get kernel(): string {
    return 'NonzeroSignLogAbs';
  }
}

/** Gradient min(1/|u|, α), which is α at 0; no primitive; alpha defaults to 0.3. */
export class FakeNumericalGradient extends AlphaSurrogate {
  static readonly parameters: ParameterTable = alphaTable(0.3, alwaysSpiking('FakeNumericalGradient'));

  constructor(options: AlphaOptions = {}) {
    super(FakeNumericalGradient.parameters, options);
  }

  override get kernel(): string {
    return 'FakeNumericalGradient';
  }
}

/** Gradient α for |u| < 1/(2α), else 0; primitive αu + 1/2 cut to 0 and 1; alpha defaults to 1. */
export class Rect extends AlphaSurrogate {
  static readonly parameters: ParameterTable = alphaTable(1);

  constructor(options: AlphaOptions = {}) {
    super(Rect.parameters, options);
  }

  override get kernel(): string {
    return 'Rect';
  }
}

/** Options of `PiecewiseLeakyReLU`. */
export interface PiecewiseLeakyReLUOptions extends SurrogateOptions {
  /** Half the width of the steep part, > 0. Default 1. */
  readonly w?: number | undefined;
  /** Slope outside of it. Default 0.01. */
  readonly c?: number | undefined;
}

/** Gradient 1/(2w) for |u| < w, else c; primitive u/(2w) + 1/2 within w of 0, lines of slope c outside. */
export class PiecewiseLeakyReLU extends KernelSurrogate {
  static readonly parameters: ParameterTable = {
    w: parameter('w', positive().default(1)),
    c: parameter('c', finite().default(0.01)),
    ...surrogateParameters,
  };

  /** Half the width of the steep part. */
  w: number;
  /** Slope outside of it. */
  c: number;

  constructor(options: PiecewiseLeakyReLUOptions = {}) {
    const own = resolveParameters<Required<PiecewiseLeakyReLUOptions>>(
      PiecewiseLeakyReLU.parameters,
      options,
    );
    super(own);
    this.w = own.w as number;
    this.c = own.c as number;
  }

  override get kernel(): string {
    return 'PiecewiseLeakyReLU';
  }

  override get values(): readonly number[] {
    return [this.w, this.c];
  }
}

/** Options of `SquarewaveFourierSeries`. */
export interface SquarewaveFourierSeriesOptions extends SurrogateOptions {
  /** One more than the terms of the series, 2 to 1000. Default 2. */
  readonly n?: number | undefined;
  /** Period of the square wave, > 0. Default 8. */
  readonly tPeriod?: number | undefined;
}

/**
 * Gradient (4/T) Σ cos((2i-1) 2πu/T), primitive 1/2 + (2/π) Σ sin((2i-1) 2πu/T)/(2i-1), over i = 1 to n-1.
 */
export class SquarewaveFourierSeries extends KernelSurrogate {
  static readonly parameters: ParameterTable = {
    n: parameter('n', integer(2).max(1000).default(2)),
    tPeriod: parameter('T_period', positive().default(8)),
    ...surrogateParameters,
  };

  /** One more than the terms of the series. */
  n: number;
  /** Period of the square wave. */
  tPeriod: number;

  constructor(options: SquarewaveFourierSeriesOptions = {}) {
    const own = resolveParameters<Required<SquarewaveFourierSeriesOptions>>(
      SquarewaveFourierSeries.parameters,
      options,
    );
    super(own);
    this.n = own.n as number;
    this.tPeriod = own.tPeriod as number;
  }

  override get kernel(): string {
    return 'SquarewaveFourierSeries';
  }

  override get values(): readonly number[] {
    return [this.n, this.tPeriod];
  }
}

/** Options of `S2NN`. */
export interface S2NNOptions extends SurrogateOptions {
  /** Steepness below the threshold, > 0. Default 4. */
  readonly alpha?: number | undefined;
  /** Scale above it, > 0. Default 1. */
  readonly beta?: number | undefined;
}

/**
 * Gradient α σ(αu) (1 - σ(αu)) below 0, β/(u + 1) from 0 on; primitive σ(αu) below 0, β ln(|u + 1| + 1e-5) + 1/2
 * from 0 on (Suetake et al. 2022).
 */
export class S2NN extends KernelSurrogate {
  static readonly parameters: ParameterTable = {
    alpha: parameter('alpha', positive().default(4)),
    beta: parameter('beta', positive().default(1)),
    ...surrogateParameters,
  };

  /** Steepness below the threshold. */
  alpha: number;
  /** Scale above it. */
  beta: number;

  constructor(options: S2NNOptions = {}) {
    const own = resolveParameters<Required<S2NNOptions>>(S2NN.parameters, options);
    super(own);
    this.alpha = own.alpha as number;
    this.beta = own.beta as number;
  }

  override get kernel(): string {
    return 'S2NN';
  }

  override get values(): readonly number[] {
    return [this.alpha, this.beta];
  }
}

/** Options of `QPseudoSpike`. */
export interface QPseudoSpikeOptions extends SurrogateOptions {
  /** Decay of the tail, > 1. Default 2. */
  readonly alpha?: number | undefined;
}

/**
 * Gradient (1 + 2/(α-1) |u|)^(-α), primitive Θ(u) - sgn(u) (1 + 2/(α-1) |u|)^(1-α) / 2 (Herranz-Celotti and Rouat
 * 2022).
 */
export class QPseudoSpike extends KernelSurrogate {
  static readonly parameters: ParameterTable = {
    alpha: parameter('alpha', finite().gt(1).default(2)),
    ...surrogateParameters,
  };

  alpha: number;

  constructor(options: QPseudoSpikeOptions = {}) {
    const own = resolveParameters<Required<QPseudoSpikeOptions>>(QPseudoSpike.parameters, options);
    super(own);
    this.alpha = own.alpha as number;
  }

  override get kernel(): string {
    return 'QPseudoSpike';
  }

  override get values(): readonly number[] {
    return [this.alpha];
  }
}

/** Options of `LeakyKReLU`. */
export interface LeakyKReLUOptions extends SurrogateOptions {
  /** Slope below the threshold. Default 0. */
  readonly leak?: number | undefined;
  /** Slope from the threshold on. Default 1. */
  readonly k?: number | undefined;
}

/** Gradient k from 0 on, leak below; the primitive has these slopes. */
export class LeakyKReLU extends KernelSurrogate {
  static readonly parameters: ParameterTable = {
    leak: parameter('leak', finite().default(0)),
    k: parameter('k', finite().default(1)),
    ...surrogateParameters,
  };

  leak: number;
  k: number;

  constructor(options: LeakyKReLUOptions = {}) {
    const own = resolveParameters<Required<LeakyKReLUOptions>>(LeakyKReLU.parameters, options);
    super(own);
    this.leak = own.leak as number;
    this.k = own.k as number;
  }

  override get kernel(): string {
    return 'LeakyKReLU';
  }

  override get values(): readonly number[] {
    return [this.leak, this.k];
  }
}

/** Options of `LogTailedReLU`. */
export interface LogTailedReLUOptions extends SurrogateOptions {
  /** Slope below the threshold. Default 0. */
  readonly alpha?: number | undefined;
}

/** Gradient α up to 0, 1 up to 1, then 1/u; primitive αu, u, ln(u) + 1 (Cai et al. 2017). */
export class LogTailedReLU extends KernelSurrogate {
  static readonly parameters: ParameterTable = {
    alpha: parameter('alpha', finite().default(0)),
    ...surrogateParameters,
  };

  alpha: number;

  constructor(options: LogTailedReLUOptions = {}) {
    const own = resolveParameters<Required<LogTailedReLUOptions>>(LogTailedReLU.parameters, options);
    super(own);
    this.alpha = own.alpha as number;
  }

  override get kernel(): string {
    return 'LogTailedReLU';
  }

  override get values(): readonly number[] {
    return [this.alpha];
  }
}

/** Gradient 1, primitive u. */
export class DeterministicPass extends KernelSurrogate {
  static readonly parameters: ParameterTable = surrogateParameters;

  constructor(options: SurrogateOptions = {}) {
    super(resolveParameters<SurrogateOptions>(DeterministicPass.parameters, options));
  }

  override get kernel(): string {
    return 'DeterministicPass';
  }
}
