import { z } from 'zod';
import { ConfigError, type ConfigPath } from './errors.js';
import { customNeurons, type NeuronClass, quantizedNeurons, standardNeurons } from './neuron/index.js';
import { type Layer, type StepMode, StepModule } from './nn/index.js';
import {
  checkValue,
  integer,
  KeyError,
  oneOf,
  type ParameterTable,
  parameter,
  plainTable,
  resolved,
  resolveParameters,
  shown,
  unknownKey,
} from './parameters.js';
import { Registry } from './registry.js';

/** Which neuron a network has after its layers. */
export interface NeuronConfig {
  /** A name in `neurons`. */
  readonly kind: string;
  /** What the class takes, in camelCase or under the established snake_case names. */
  readonly params?: Readonly<Record<string, unknown>> | undefined;
}

/** What every spiking network takes. */
export interface SNNOptions {
  /** Of one sample in one time step, channels last: `[H, W, C]`, `[S, C]` or `[features]`. */
  readonly inputShape: readonly number[];
  /** `[classes]` for a classifier. */
  readonly outputShape: readonly number[];
  /** Time steps of a sequence, >= 1. */
  readonly timesteps: number;
  /** The neurons that `createNeuron()` makes. */
  readonly neuron: NeuronConfig;
}

/** Neurons by `kind`: the standard ones first, then the custom, the quantized and those of users. */
export const neurons: Registry<NeuronClass> = new Registry<NeuronClass>(
  'neuron kind',
  standardNeurons,
  customNeurons,
  quantizedNeurons,
);

/**
 * Makes a neuron class of one's own known under a name. Its static `parameters` say what it takes; a class that
 * extends `LIFNode` or `IFNode` inherits theirs.
 * @throws ConfigError for a name that exists, or something that is not such a class
 */
export function registerNeuron(name: string, neuronClass: NeuronClass): void {
  if (typeof neuronClass !== 'function' || typeof neuronClass.parameters !== 'object') {
    throw new ConfigError([name], 'a class with static parameters', shown(neuronClass));
  }
  neurons.register(name, neuronClass);
}

/** A neuron configuration that has been checked. */
export interface ResolvedNeuron {
  /** As configured. */
  readonly kind: string;
  /** The step mode that the parameters ask for, the network's; default 's'. */
  readonly stepMode: StepMode;
  /** A new neuron; surrogates that were named, not given as objects, are new too. */
  create(quantParams?: unknown): Layer;
}

/**
 * Finds the class and checks the parameters.
 * @throws ConfigError with the place below `path`: `neuron.params.tau`
 */
export function resolveNeuron(config: unknown, path: ConfigPath): ResolvedNeuron {
  const { kind, params = {}, ...rest } = plainTable(config, path);
  const [extra] = Object.keys(rest);
  if (extra !== undefined) throw unknownKey(path, extra, ['kind', 'params']);
  const neuronClass = neurons.find(kind, [...path, 'kind']);
  const paramsPath = [...path, 'params'];
  const { stepMode, own } = splitStepMode(neuronClass.parameters, params, paramsPath);
  const resolve = (given: Readonly<Record<string, unknown>>): unknown =>
    resolveParameters(neuronClass.parameters, given, paramsPath);
  resolve(own);
  const create = (quantParams?: unknown): Layer => {
    if (quantParams === undefined || quantParams === null) return new neuronClass(resolve(own));
    if (!Object.hasOwn(neuronClass.parameters, 'quantParams')) {
      throw new ConfigError(['quantParams'], `nothing, since ${kind} is not quantized`, shown(quantParams));
    }
    return new neuronClass(resolve({ ...own, quantParams }));
  };
  return { kind: kind as string, stepMode, create };
}

// The step mode is the network's; it goes on to the neuron too, if that takes one.
function splitStepMode(
  table: ParameterTable,
  params: unknown,
  path: ConfigPath,
): { readonly stepMode: StepMode; readonly own: Readonly<Record<string, unknown>> } {
  const given = { ...plainTable(params, path) };
  const key = Object.hasOwn(given, 'stepMode') ? 'stepMode' : 'step_mode';
  const stepMode = checkValue(stepModeCheck, given[key], [...path, key]);
  if (!Object.hasOwn(table, 'stepMode')) delete given[key];
  return { stepMode, own: given };
}

const stepModeCheck: z.ZodType<StepMode> = oneOf(['s', 'm']).default('s');

const shapeCheck = z.array(integer(1)).min(1);

// What a network gets from its data and not from its own configuration.
const shapes: ParameterTable = {
  inputShape: parameter('input_shape', shapeCheck),
  outputShape: parameter('output_shape', shapeCheck),
};

/** A class of networks with the table of the parameters that a configuration gives it. */
export interface SNNClass {
  // biome-ignore lint/suspicious/noExplicitAny: each class has options of its own; its table checks them
  new (options: any): SNN;
  readonly parameters: ParameterTable;
  /**
   * How parameters must fit each other, which the table cannot say: gets them checked, in camelCase.
   * @throws ConfigError whose path begins with a name in code
   */
  // biome-ignore lint/suspicious/noExplicitAny: each class has parameters of its own
  checkParameters?(parameters: any): void;
}

/**
 * Calls fn, whose ConfigErrors have paths that begin with names in code, for a network whose parameters stand in a
 * configuration at `path`: there the errors carry the names of configurations.
 */
export function inConfiguration<T>(model: SNNClass, path: ConfigPath, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const [name, ...rest] = error.path;
    const entry = { ...shapes, ...model.parameters }[String(name)];
    const kind = error instanceof KeyError ? KeyError : ConfigError;
    throw new kind(
      [...path, ...(entry ? [entry.toml] : error.path.slice(0, 1)), ...rest],
      error.expected,
      error.got,
    );
  }
}

/**
 * The options of a network in camelCase, checked: shapes and what the table of `model` has. For constructors;
 * with `new.target` of a subclass further options are left to that.
 * @throws ConfigError
 */
export function resolveModelOptions<T>(model: SNNClass, options: unknown, target: unknown): T {
  const table = { ...shapes, ...model.parameters };
  const given = plainTable(options, []);
  if (target === model) return resolveParameters<T>(table, given);
  const names = new Set(Object.entries(table).flatMap(([name, entry]) => [name, entry.toml]));
  return resolveParameters<T>(
    table,
    Object.fromEntries(Object.entries(given).filter(([name]) => names.has(name))),
  );
}

/**
 * Base class of spiking networks. A network extends it, makes its layers in the step mode `stepMode` and its neurons
 * with `createNeuron()`, and gives a `forward`: for one time step `[N, *]` in step mode 's', for a sequence
 * `[T, N, *]` in 'm'.
 */
export class SNN extends StepModule {
  /** What a configuration gives every network; a subclass adds its own. */
  static readonly parameters: ParameterTable = {
    timesteps: parameter('timesteps', integer(1)),
    neuron: parameter(
      'neuron',
      resolved((value) => {
        resolveNeuron(value, []);
        return value;
      }),
    ),
  };

  /** Tells spiking networks from others. */
  readonly isSnn: true = true;
  readonly #inputShape: readonly number[];
  readonly #outputShape: readonly number[];
  readonly #timesteps: number;
  readonly #neuron: ResolvedNeuron;

  /** @throws ConfigError whose path names what is wrong: `['neuron', 'params', 'tau']` */
  constructor(options: SNNOptions) {
    const own = resolveModelOptions<SNNOptions>(SNN, options, new.target);
    const neuron = resolveNeuron(own.neuron, ['neuron']);
    super(neuron.stepMode);
    this.#inputShape = [...own.inputShape];
    this.#outputShape = [...own.outputShape];
    this.#timesteps = own.timesteps;
    this.#neuron = neuron;
  }

  /** `[timesteps, ...inputShape]`, channels last. */
  get inputShape(): readonly number[] {
    return [this.#timesteps, ...this.#inputShape];
  }

  /** As given: `[classes]`. */
  get outputShape(): readonly number[] {
    return [...this.#outputShape];
  }

  /** Time steps of a sequence. */
  get timesteps(): number {
    return this.#timesteps;
  }

  /**
   * A new neuron as configured, for one place in the network.
   * @param quantParams for quantized kinds only
   * @throws ConfigError if quantParams are given and the kind is not quantized
   */
  createNeuron(quantParams?: unknown): Layer {
    return this.#neuron.create(quantParams);
  }
}
