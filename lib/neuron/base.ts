import type { z } from 'zod';
import { ConfigError, DTypeError, ShapeError } from '../errors.js';
import { MemoryModule, State } from '../layer/index.js';
import type { StepMode } from '../nn/index.js';
import {
  checkValue,
  finite,
  flag,
  nullableReset,
  oneOf,
  type ParameterTable,
  parameter,
  resolved,
} from '../parameters.js';
import { type Surrogate, type SurrogateSpecification, surrogateOf } from '../surrogate/index.js';
import { type DType, isTensor, keep, stack, Tensor } from '../tensor/index.js';

/** What every spiking neuron takes; all have defaults. */
export interface BaseNodeOptions {
  /**
   * Fires where v >= vThreshold. A Parameter is learned; a tensor broadcasts to the shape of one step, batch included,
   * so one number a channel has the shape `[C, 1, 1]`. Default 1.
   */
  readonly vThreshold?: number | Tensor | undefined;
  /** Membrane after a spike; null or false for the soft reset, which subtracts vThreshold. Default 0. */
  readonly vReset?: number | false | null | undefined;
  /** Default: an own `Sigmoid` with alpha 4. */
  readonly surrogateFunction?: SurrogateSpecification | undefined;
  /** No gradient through the spike's part in the reset. Default false. */
  readonly detachReset?: boolean | undefined;
  /** Default 's'. */
  readonly stepMode?: StepMode | undefined;
  /** Accepted for configurations of other systems; every value computes the same way. Default 'torch'. */
  readonly backend?: Backend | undefined;
  /** Keep the membrane of every step in `vSeq` (step mode 'm'). Default false. */
  readonly storeVSeq?: boolean | undefined;
}

// What an input may be of.
const FLOATING: readonly DType[] = ['float32', 'float64', 'bfloat16', 'float16'];

/** Names of backends in configurations. */
export type Backend = 'torch' | 'cupy' | 'triton' | 'inductor' | 'lava';

/** The options with their defaults filled in. */
export interface BaseNodeParameters {
  /** As in the options. */
  readonly vThreshold: number | Tensor;
  /** Null for the soft reset. */
  readonly vReset: number | null;
  /** The instance. */
  readonly surrogateFunction: Surrogate;
  /** As in the options. */
  readonly detachReset: boolean;
  /** As in the options. */
  readonly stepMode: StepMode;
  /** As in the options. */
  readonly backend: Backend;
  /** As in the options. */
  readonly storeVSeq: boolean;
}

/** A parameter that is a number for all neurons, as `check` says, or in code a tensor that broadcasts over them. */
export function numberOrTensor(check: z.ZodType<number>): z.ZodType<number | Tensor> {
  return resolved((value) => {
    if (!isTensor(value)) return checkValue(check, value, []);
    if (value.dtype === 'float32' || value.dtype === 'float64') return value;
    throw new ConfigError([], 'a tensor of dtype float32 or float64', `one of ${value.dtype}`);
  });
}

/** The parameters that every spiking neuron has. */
export const baseParameters: ParameterTable = {
  vThreshold: parameter('v_threshold', numberOrTensor(finite().default(1))),
  vReset: parameter('v_reset', nullableReset().default(0)),
  surrogateFunction: parameter('surrogate_function', resolved(surrogateOf)),
  detachReset: parameter('detach_reset', flag().default(false)),
  stepMode: parameter('step_mode', oneOf(['s', 'm']).default('s')),
  backend: parameter('backend', oneOf(['torch', 'cupy', 'triton', 'inductor', 'lava']).default('torch')),
  storeVSeq: parameter('store_v_seq', flag().default(false)),
};

/** The named arguments that the operators of all neurons share. */
export interface MembraneArguments {
  /** A number for all neurons. */
  readonly vThreshold?: number;
  /** Instead of the number, in the dtype that is computed in. */
  readonly vThresholdTensor?: Tensor;
  /** Null for the soft reset. */
  readonly vReset: number | null;
  /** Whether the spike's part in the reset has no gradient. */
  readonly detachReset: boolean;
  /** Its name in the kernels. */
  readonly surrogate: string;
  /** Its parameters in the kernels' order. */
  readonly surrogateParams: readonly number[];
  /** Spikes, or else the surrogate's primitive. */
  readonly spiking: boolean;
  /** Whether the membrane of every step is wanted. */
  readonly storeVSeq: boolean;
}

/** What a neuron's operator gives: spikes, the last membrane, and the membrane of every step if asked for. */
export type MembraneResult = readonly [sSeq: Tensor, vOut: Tensor, vSeq: Tensor | null];

/**
 * A neuron with a membrane `v`: in each step it charges, fires where v >= vThreshold, and resets. Spikes are 0 and 1
 * in the input's dtype and shape. The membrane stays until `reset()`.
 */
export abstract class BaseNode extends MemoryModule {
  /** A number, or a tensor that broadcasts to the shape of one step; a Parameter is learned. */
  vThreshold: number | Tensor;
  /** Membrane after a spike; null for the soft reset, which subtracts the threshold. */
  vReset: number | null;
  /** Whether the spike's part in the reset has no gradient. */
  detachReset: boolean;
  /** As in the options; it changes nothing. */
  backend: Backend;
  #surrogateFunction: Surrogate;
  #storeVSeq: boolean;
  #vSeq: Tensor | null = null;
  readonly #v: State;

  constructor(parameters: BaseNodeParameters) {
    super(parameters.stepMode);
    this.vThreshold = parameters.vThreshold;
    this.vReset = parameters.vReset;
    this.#surrogateFunction = parameters.surrogateFunction;
    this.detachReset = parameters.detachReset;
    this.backend = parameters.backend;
    this.#storeVSeq = parameters.storeVSeq;
    this.#v = new State(new.target.name, 'v', () => this.vReset ?? 0);
  }

  /** The neuron's operator on `[T, *]` from the membrane `[*]`. */
  protected abstract integrate(xSeq: Tensor, v: Tensor, membrane: MembraneArguments): MembraneResult;

  /** One step's charged membrane in libtorch's operators, for surrogates that the kernels do not have. */
  protected abstract charge(x: Tensor, v: Tensor): Tensor;

  // In state dictionaries a learned threshold has the established name.
  protected override memberName(field: string): string {
    return field === 'vThreshold' ? 'v_threshold' : field;
  }

  protected override states(): Iterable<State> {
    return [this.#v];
  }

  /**
   * The membrane after the last reset: a number (vReset or 0) before the first input, then a tensor of the shape of
   * one step. Each read gives a new Tensor object. A tensor that is assigned must have the shape of one step; a
   * number fills it.
   */
  get v(): Tensor | number {
    return this.#v.value;
  }

  set v(value: Tensor | number) {
    this.#v.value = value;
  }

  /** Assigned as an instance, a name, or kind and params. @throws ConfigError */
  get surrogateFunction(): Surrogate {
    return this.#surrogateFunction;
  }

  set surrogateFunction(value: SurrogateSpecification) {
    this.#surrogateFunction = checkValue(resolved(surrogateOf), value, ['surrogateFunction']);
  }

  /** Whether step mode 'm' keeps the membrane of every step. Setting it clears `vSeq`. */
  get storeVSeq(): boolean {
    return this.#storeVSeq;
  }

  set storeVSeq(value: boolean) {
    this.#storeVSeq = value;
    this.#setVSeq(null);
  }

  /** The membranes `[T, *]` after each step's reset of the last multi-step call; null if they were not kept. */
  get vSeq(): Tensor | null {
    return this.#vSeq === null ? null : new Tensor(this.#vSeq);
  }

  /**
   * Step mode 's': one step, input and spikes `[*]`. Step mode 'm': a sequence, `[T, *]`. The membrane is in the
   * dtype of the input, for 16 bits in float32; one that is left over from another batch shape starts anew, with a
   * warning.
   * @throws ShapeError for a membrane that was assigned in another shape; DTypeError for an input that is not
   * floating-point
   */
  override forward(x: Tensor): Tensor {
    if (this.stepMode === 's') return this.#run(x.unsqueeze(0), false).squeeze(0);
    if (x.ndim === 0) {
      throw new ShapeError(
        `${this.constructor.name}: argument 'x' must have the shape [T, *] in step mode m, got []`,
      );
    }
    return this.#run(x, this.#storeVSeq);
  }

  #run(xSeq: Tensor, storeVSeq: boolean): Tensor {
    if (!FLOATING.includes(xSeq.dtype)) {
      throw new DTypeError(
        `${this.constructor.name}: argument 'x' must be of dtype ${FLOATING.join(', ')}, got ${xSeq.dtype}; convert it with .to(dtype)`,
      );
    }
    const dtype = computeType(xSeq.dtype);
    const v = this.#v.fit({ shape: xSeq.shape.slice(1), dtype, device: xSeq.device });
    const { surrogateFunction, vThreshold } = this;
    const { kernel } = surrogateFunction;
    const [sSeq, vOut, vSeq] =
      kernel === null
        ? this.#composed(xSeq, v, storeVSeq)
        : this.integrate(xSeq, v, {
            ...(isTensor(vThreshold) ? { vThresholdTensor: vThreshold.to(dtype) } : { vThreshold }),
            vReset: this.vReset,
            detachReset: this.detachReset,
            surrogate: kernel,
            surrogateParams: surrogateFunction.values,
            spiking: surrogateFunction.spiking,
            storeVSeq,
          });
    this.#v.take(vOut);
    if (storeVSeq) this.#setVSeq(vSeq);
    return sSeq;
  }

  // The kernels' maths step by step: a surrogate that is written in TypeScript says its gradient at forward time.
  #composed(xSeq: Tensor, start: Tensor, storeVSeq: boolean): MembraneResult {
    const { vThreshold, vReset, detachReset, surrogateFunction } = this;
    const spikes: Tensor[] = [];
    const membranes: Tensor[] = [];
    const threshold = isTensor(vThreshold) ? vThreshold.to(start.dtype) : vThreshold;
    let v = start;
    for (const x of xSeq.unbind(0)) {
      const h = this.charge(x.to(start.dtype), v);
      const s = surrogateFunction.forward(h.sub(threshold as Tensor));
      const used = detachReset ? s.detach() : s;
      v =
        vReset === null
          ? h.sub(used.mul(threshold as Tensor))
          : used.mul(vReset).add(used.neg().add(1).mul(h));
      spikes.push(s.to(xSeq.dtype));
      membranes.push(v);
    }
    if (spikes.length === 0)
      return [xSeq.clone(), v.clone(), storeVSeq ? xSeq.to(start.dtype).clone() : null];
    return [stack(spikes), v, storeVSeq ? stack(membranes) : null];
  }

  override reset(): void {
    super.reset();
    this.#setVSeq(null);
  }

  #setVSeq(value: Tensor | null): void {
    this.#vSeq?.dispose();
    this.#vSeq = value === null ? null : keep(value, 'states');
  }

  protected override describe(): string {
    const { vThreshold, vReset, detachReset, stepMode, surrogateFunction } = this;
    return `vThreshold=${shownParameter(vThreshold)}, vReset=${vReset}, detachReset=${detachReset}, stepMode=${stepMode}, surrogate=${surrogateFunction}`;
  }
}

/** What sequences of a dtype are computed in, states and parameters included. */
export function computeType(dtype: DType): DType {
  return dtype === 'bfloat16' || dtype === 'float16' ? 'float32' : dtype;
}

/** As `toString` shows it. */
export function shownParameter(value: number | Tensor): string {
  return isTensor(value) ? `Tensor [${value.shape}]` : `${value}`;
}
