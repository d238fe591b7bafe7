import type { Tensor } from '../tensor/index.js';
import { type Layer, Module } from './module.js';

/** Calls its layers one after the other. Their names are `0`, `1`, ... */
export class Sequential extends Module {
  readonly #layers: readonly Layer[];

  constructor(...layers: readonly Layer[]) {
    super();
    this.#layers = layers.map((layer) => checkModule(layer, 'Sequential'));
  }

  override forward(x: Tensor): Tensor {
    return this.#layers.reduce((input, layer) => layer.forward(input), x);
  }

  /** Number of layers. */
  get length(): number {
    return this.#layers.length;
  }

  /** The layer at an index; negative ones count from the end. */
  at(index: number): Layer | undefined {
    return this.#layers.at(index);
  }

  [Symbol.iterator](): Iterator<Layer> {
    return this.#layers.values();
  }

  protected override members(): Iterable<readonly [string, unknown]> {
    return [...super.members(), ...numbered(this.#layers)];
  }
}

/** Modules in a row, for a `forward` of one's own. Their names are `0`, `1`, ... */
export class ModuleList<M extends Module = Layer> extends Module {
  readonly #modules: M[] = [];

  constructor(modules: Iterable<M> = []) {
    super();
    for (const module of modules) this.append(module);
  }

  /** Number of modules. */
  get length(): number {
    return this.#modules.length;
  }

  /** The module at an index; negative ones count from the end. */
  at(index: number): M | undefined {
    return this.#modules.at(index);
  }

  /** Adds a module at the end; returns this. @throws TypeError for something else */
  append(module: M): this {
    this.#modules.push(checkModule(module, 'ModuleList'));
    return this;
  }

  [Symbol.iterator](): Iterator<M> {
    return this.#modules.values();
  }

  protected override members(): Iterable<readonly [string, unknown]> {
    return [...super.members(), ...numbered(this.#modules)];
  }
}

/** Modules by name, in the order in which they were added. */
export class ModuleDict<M extends Module = Layer> extends Module {
  readonly #modules = new Map<string, M>();

  constructor(modules: Readonly<Record<string, M>> | Iterable<readonly [string, M]> = {}) {
    super();
    const entries = Symbol.iterator in modules ? modules : Object.entries(modules);
    for (const [name, module] of entries as Iterable<readonly [string, M]>) this.set(name, module);
  }

  /** Number of modules. */
  get size(): number {
    return this.#modules.size;
  }

  /** The module of that name, if there is one. */
  get(name: string): M | undefined {
    return this.#modules.get(name);
  }

  /** Whether there is a module of that name. */
  has(name: string): boolean {
    return this.#modules.has(name);
  }

  /** Adds a module, or replaces the one of that name; returns this. @throws TypeError for a name that is empty or has dots */
  set(name: string, module: M): this {
    if (typeof name !== 'string' || name === '' || name.includes('.')) {
      throw new TypeError(`ModuleDict: a name must be a non-empty string without dots, got ${String(name)}`);
    }
    this.#modules.set(name, checkModule(module, 'ModuleDict'));
    return this;
  }

  /** The names in their order. */
  keys(): Iterator<string> & Iterable<string> {
    return this.#modules.keys();
  }

  /** The modules in their order. */
  values(): Iterator<M> & Iterable<M> {
    return this.#modules.values();
  }

  /** Names and modules in their order. */
  entries(): Iterator<[string, M]> & Iterable<[string, M]> {
    return this.#modules.entries();
  }

  [Symbol.iterator](): Iterator<[string, M]> {
    return this.#modules.entries();
  }

  protected override members(): Iterable<readonly [string, unknown]> {
    return [...super.members(), ...this.#modules];
  }
}

function numbered(modules: readonly Module[]): (readonly [string, Module])[] {
  return modules.map((module, index) => [String(index), module] as const);
}

function checkModule<M extends Module>(value: M, container: string): M {
  if (value instanceof Module) return value;
  throw new TypeError(`${container}: every entry must be a Module`);
}
