import { ConfigError } from '../errors.js';
import { type ParameterTable, plainTable, resolveParameters, shown, unknownKey } from '../parameters.js';
import { Registry } from '../registry.js';
import { MultiLevelSpikeCount, PoissonPass } from './counts.js';
import * as kernels from './kernels.js';
import { Surrogate } from './surrogate.js';

export { MultiLevelSpikeCount, type MultiLevelSpikeCountOptions, PoissonPass } from './counts.js';
export * from './kernels.js';
export { KernelSurrogate, Surrogate, type SurrogateOptions, surrogateParameters } from './surrogate.js';

/** A class of surrogates with the table of its parameters. */
export interface SurrogateClass {
  // biome-ignore lint/suspicious/noExplicitAny: each class has options of its own; its table checks them
  new (options?: any): Surrogate;
  readonly parameters: ParameterTable;
}

/** The ways to name a surrogate: an instance, its kind, or kind and parameters (either spelling). */
export type SurrogateSpecification =
  | Surrogate
  | string
  | {
      /** A name in `surrogates`. */
      readonly kind: string;
      /** What the class takes. Default: nothing. */
      readonly params?: Readonly<Record<string, unknown>>;
    };

/** Surrogates by the names that configurations use (`surrogate_function`). */
export const surrogates: Registry<SurrogateClass> = new Registry<SurrogateClass>('surrogate', {
  ...kernels,
  PoissonPass,
  MultiLevelSpikeCount,
});

/**
 * Makes a surrogate of one's own known under a name. It is constructed with what its static `parameters` have, in
 * camelCase.
 * @throws ConfigError for a name that exists, or something that is not such a class
 */
export function registerSurrogate(name: string, surrogate: SurrogateClass): void {
  if (typeof surrogate !== 'function' || typeof surrogate.parameters !== 'object') {
    throw new ConfigError([name], 'a class with static parameters', shown(surrogate));
  }
  surrogates.register(name, surrogate);
}

/**
 * The surrogate that is meant: an instance itself, else a new one; nothing means Sigmoid with alpha 4.
 * @throws ConfigError with the path inside `specification`
 */
export function surrogateOf(specification: unknown): Surrogate {
  if (specification === undefined) return new kernels.Sigmoid();
  if (specification instanceof Surrogate) return specification;
  if (typeof specification === 'string') {
    const found = surrogates.find(specification, []);
    return new found(resolveParameters(found.parameters, {}, []));
  }
  if (specification === null || typeof specification !== 'object' || Array.isArray(specification)) {
    throw new ConfigError(
      [],
      'a surrogate: its name, a table with kind and params, or an instance',
      shown(specification),
    );
  }
  const { kind, params = {}, ...rest } = plainTable(specification, []);
  const [extra] = Object.keys(rest);
  if (extra !== undefined) throw unknownKey([], extra, ['kind', 'params']);
  const found = surrogates.find(kind, ['kind']);
  return new found(resolveParameters(found.parameters, params, ['params']));
}
