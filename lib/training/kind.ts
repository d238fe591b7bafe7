import type { ConfigPath } from '../errors.js';
import { type ParameterTable, plainTable, resolveParameters, unknownKey } from '../parameters.js';
import type { Registry } from '../registry.js';

/** Which class, and what it takes, in camelCase or under the established names. */
export interface KindConfig {
  /** A name in the registry of such classes. */
  readonly kind: string;
  /** What the class takes. Default: nothing. */
  readonly params?: Readonly<Record<string, unknown>> | undefined;
}

interface Registered {
  readonly parameters: ParameterTable;
  /** What a table of single parameters cannot tell. */
  check?(values: never, path: ConfigPath): void;
}

/**
 * The class that `{ kind, params }` names, and its checked parameters in camelCase. `extra` are further keys that the
 * caller reads.
 * @throws ConfigError with the place below `path`
 */
export function resolveKind<T extends Registered>(
  registry: Registry<T>,
  config: unknown,
  path: ConfigPath,
  extra: readonly string[] = [],
): { readonly found: T; readonly kind: string; readonly params: Readonly<Record<string, unknown>> } {
  const { kind, params = {}, ...rest } = plainTable(config, path);
  const unknown = Object.keys(rest).find((key) => !extra.includes(key));
  if (unknown !== undefined) throw unknownKey(path, unknown, ['kind', 'params', ...extra]);
  const found = registry.find(kind, [...path, 'kind']);
  const values = resolveParameters<Readonly<Record<string, unknown>>>(found.parameters, params, [
    ...path,
    'params',
  ]);
  found.check?.(values as never, [...path, 'params']);
  return { found, kind: kind as string, params: values };
}
