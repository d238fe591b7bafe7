import { ConfigError, type ConfigPath } from './errors.js';
import { nearest, shown } from './parameters.js';

/**
 * Classes by the names that configurations use (`kind`). The given modules are searched in order, the first match
 * wins; then come the names registered at run time. Only a module's own exports count.
 */
export class Registry<T> {
  readonly #what: string;
  readonly #modules: ReadonlyArray<Readonly<Record<string, T>>>;
  readonly #registered = new Map<string, T>();

  /** @param what what the entries are, for messages: 'neuron kind' */
  constructor(what: string, ...modules: ReadonlyArray<Readonly<Record<string, T>>>) {
    this.#what = what;
    this.#modules = modules;
  }

  /**
   * Adds an entry of a user.
   * @throws ConfigError if the name is empty or taken
   */
  register(name: string, value: T): void {
    if (typeof name !== 'string' || name === '') {
      throw new ConfigError([], `a name for the ${this.#what}`, shown(name));
    }
    if (this.has(name)) {
      throw new ConfigError([name], `a new name for the ${this.#what}`, 'one that exists already');
    }
    this.#registered.set(name, value);
  }

  /** Whether there is an entry of that name. */
  has(name: string): boolean {
    return this.#search(name) !== undefined;
  }

  /** All names, in the order in which they are searched. */
  names(): string[] {
    const names = new Set(this.#modules.flatMap((module) => Object.keys(module)));
    for (const name of this.#registered.keys()) names.add(name);
    return [...names];
  }

  /**
   * The entry of that name; `path` says where the name stands.
   * @throws ConfigError that lists what exists, and the nearest name
   */
  find(name: unknown, path: ConfigPath): T {
    const found = typeof name === 'string' ? this.#search(name) : undefined;
    if (found !== undefined) return found;
    const names = this.names();
    const hint = typeof name === 'string' && names.length > 0 ? ` (nearest: ${nearest(name, names)})` : '';
    const list = names.length > 0 ? `: one of ${names.join(', ')}` : ' (none is registered)';
    const article = /^[aeiou]/i.test(this.#what) ? 'an' : 'a';
    throw new ConfigError(path, `${article} ${this.#what}${list}${hint}`, shown(name));
  }

  #search(name: string): T | undefined {
    for (const module of this.#modules) if (Object.hasOwn(module, name)) return module[name];
    return this.#registered.get(name);
  }
}
