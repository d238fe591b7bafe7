import { ConfigError } from '../errors.js';
import { type ParameterTable, plainTable, resolveParameters, shown, unknownKey } from '../parameters.js';
import { Registry } from '../registry.js';
import { ATan, PiecewiseQuadratic, Sigmoid } from './alpha.js';
import { Surrogate } from './surrogate.js';

export { type AlphaOptions, ATan, PiecewiseQuadratic, Sigmoid } from './alpha.js';
export { Surrogate, type SurrogateOptions } from './surrogate.js';

/** A class of surrogates with the table of its parameters. */
export interface SurrogateClass {
  new (options?: Readonly<Record<string, unknown>>): Surrogate;
  readonly parameters: ParameterTable;
}

/** The ways to name a surrogate: an instance, its kind, or kind and parameters (either spelling). */
export type SurrogateSpecification =
  | Surrogate
  | string
  | { readonly kind: string; readonly params?: Readonly<Record<string, unknown>> };

/** The surrogates that the kernels have. */
export const surrogates: Registry<SurrogateClass> = new Registry<SurrogateClass>('surrogate', {
  Sigmoid,
  ATan,
  PiecewiseQuadratic,
});

/**
 * The surrogate that is meant: an instance itself, else a new one; nothing means Sigmoid with alpha 4.
 * @throws ConfigError with the path inside `specification`
 */
export function surrogateOf(specification: unknown): Surrogate {
  if (specification === undefined) return new Sigmoid();
  if (specification instanceof Surrogate) return specification;
  if (typeof specification === 'string') return new (surrogates.find(specification, []))();
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
