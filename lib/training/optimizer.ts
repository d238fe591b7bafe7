import { type ConfigPath, ShapeError } from '../errors.js';
import { checkValue, finite, type ParameterTable, plainTable, resolveParameters } from '../parameters.js';
import { queued } from '../tensor/dispatch.js';
import { emptyLike, full, fullLike, isTensor, keep, noGrad, type Tensor, tidy } from '../tensor/index.js';
import { argumentError } from '../tensor/operator.js';

/** Parameters with hyperparameters of their own; what a group leaves out is the optimizer's. */
export interface ParameterGroupOptions {
  /** The parameters. */
  readonly params: Iterable<Tensor>;
  readonly [hyperparameter: string]: unknown;
}

/** What an optimizer is made for. */
export type Optimized = Iterable<Tensor> | Iterable<ParameterGroupOptions>;

/** Hyperparameters that every optimizer has. */
export interface CommonParameters {
  /** Learning rate. */
  lr: number;
}

/** Options that change no result: PyTorch's choices of an implementation, so that its configurations can be used. */
export interface ImplementationOptions {
  /** Accepted; spikenode chooses by itself. */
  readonly foreach?: boolean | null;
  /** Accepted as `foreach` is, where PyTorch has it. */
  readonly fused?: boolean | null;
  /** Only false: steps are not captured in CUDA graphs. */
  readonly capturable?: false;
  /** Only false: steps are not recorded for backward. */
  readonly differentiable?: false;
}

/** The options `O` of an optimizer with the defaults filled in; they may be changed between steps. */
export type Hyperparameters<O> = {
  -readonly [K in keyof O as Exclude<K, keyof ImplementationOptions>]-?: O[K];
};

/** A group as `paramGroups` has it: the hyperparameters in camelCase, which may be changed between steps. */
export type ParameterGroup<H extends CommonParameters = CommonParameters> = H & {
  /** The parameters, leaves of the graph. */
  readonly params: readonly Tensor[];
  /** The rate that schedulers start from; set by the first one. */
  initialLr?: number;
};

/** State of one parameter under PyTorch's names. Numbers are what PyTorch keeps in float32 tensors of one element. */
export type ParameterState = Record<string, Tensor | number>;

/** How the state of a parameter begins: numbers, and what tensors like the parameter are filled with. */
export interface InitialState {
  /** Numbers by name. */
  readonly numbers: Readonly<Record<string, number>>;
  /** What tensors of the parameter's shape are filled with, by name. */
  readonly tensors: Readonly<Record<string, number>>;
}

/** Hyperparameters under PyTorch's names, and the group's parameters by their number. */
export interface SavedGroup {
  /** Their numbers, counted through all groups. */
  readonly params: readonly number[];
  readonly [hyperparameter: string]: unknown;
}

/** PyTorch's layout: states by the parameters' numbers, counted through all groups. */
export interface OptimizerStateDict {
  /** The states by the parameters' numbers. */
  readonly state: Readonly<Record<string, Readonly<Record<string, Tensor>>>>;
  /** The groups in their order. */
  readonly param_groups: readonly SavedGroup[];
}

/** What single hyperparameters cannot tell; a method, so that an `Optimizer` may be any optimizer. */
export interface Checker<H> {
  /** @throws ConfigError with the place below `path` */
  check(hyperparameters: H, path: ConfigPath): void;
}

/** Parameters and gradients of one dtype and device, which one fused operator updates. */
export interface Bucket {
  /** The parameters. */
  readonly params: Tensor[];
  /** The gradient of each, in its layout. */
  readonly grads: Tensor[];
}

/**
 * Base class of optimizers. Parameters are given as tensors or as groups:
 *
 *     new SGD([{ params: net.features.parameters() }, { params: net.head.parameters(), lr: 0.1 }], { lr: 0.01 })
 */
export abstract class Optimizer<H extends CommonParameters = CommonParameters> implements Disposable {
  /** The groups in their order; hyperparameters may be changed between steps. */
  readonly paramGroups: ParameterGroup<H>[] = [];
  /** The states of the parameters that have had a step. */
  protected readonly state: Map<Tensor, ParameterState> = new Map();
  readonly #table: ParameterTable;
  readonly #check: Checker<H>['check'];
  readonly #options: Readonly<Record<string, unknown>>;
  // States that `memory()` counts for the optimizer.
  readonly #owned = new WeakSet<ParameterState>();

  /**
   * @param table the hyperparameters of the class
   * @param check what single hyperparameters cannot tell; throws ConfigError
   */
  protected constructor(
    parameters: Optimized,
    options: object,
    table: ParameterTable,
    check: Checker<H>['check'] = () => {},
  ) {
    this.#table = table;
    this.#check = check;
    this.#options = byName(table, plainTable(options, []));
    check(resolveParameters<H>(table, this.#options), []);
    const given = listOf<Tensor | ParameterGroupOptions>(parameters, this.constructor.name, 'parameters');
    if (given.length === 0) {
      throw argumentError(this.constructor.name, 'parameters', 'at least one Tensor or group', given);
    }
    const groups = isTensor(given[0]) ? [{ params: given as Tensor[] }] : (given as ParameterGroupOptions[]);
    for (const group of groups) this.addParamGroup(group);
  }

  /** Updates a bucket; runs without recording and inside a scope. */
  protected abstract update(group: ParameterGroup<H>, bucket: Bucket): void;

  /** The state of a parameter of `group` before its first step, in PyTorch's names and order. */
  protected abstract initialState(group: Readonly<H>): InitialState;

  /** The state of a parameter, begun or completed where the hyperparameters ask for more than before. */
  protected stateOf(parameter: Tensor, group: ParameterGroup<H>): ParameterState {
    const own = this.state.get(parameter) ?? {};
    this.state.set(parameter, own);
    const { numbers, tensors } = this.initialState(group);
    for (const [name, value] of Object.entries(numbers)) own[name] ??= value;
    for (const [name, value] of Object.entries(tensors)) own[name] ??= keep(fullLike(parameter, value));
    return own;
  }

  /**
   * Adds parameters, with hyperparameters of their own.
   * @throws TypeError for what is no leaf Tensor, or is in a group already; ConfigError for hyperparameters
   */
  addParamGroup(group: ParameterGroupOptions): void {
    const op = this.constructor.name;
    const { params: given, ...own } = plainTable(group, []);
    const params = listOf<Tensor>(given, op, 'params');
    const known = new Set(this.paramGroups.flatMap((other) => other.params));
    for (const parameter of params) {
      if (!isTensor(parameter)) throw argumentError(op, 'params', 'Tensors', parameter);
      if (!parameter.isLeaf) throw argumentError(op, 'params', 'leaf tensors', 'the result of an operator');
      if (known.has(parameter)) throw argumentError(op, 'params', 'tensors without repetition', 'one twice');
      requireDense(parameter, op);
      known.add(parameter);
    }
    const merged = { ...this.#options, ...byName(this.#table, own) };
    const hyperparameters = resolveParameters<H>(this.#table, merged);
    this.#check(hyperparameters, []);
    this.paramGroups.push({ ...hyperparameters, params });
  }

  /** Updates every parameter that has a gradient; the others stay as they are, their step counts too. */
  step(): void {
    noGrad(() =>
      tidy(() => {
        for (const group of this.paramGroups) {
          for (const bucket of buckets(group.params)) this.update(group, bucket);
        }
        this.#own();
      }),
    );
  }

  // Whatever the classes keep for a parameter is the optimizer's.
  #own(): void {
    for (const own of this.state.values()) {
      if (this.#owned.has(own)) continue;
      this.#owned.add(own);
      for (const value of Object.values(own)) if (isTensor(value)) keep(value, 'optimizer');
    }
  }

  /**
   * `step`, whose fused operators run on a native thread while the event loop is free. Until the promise is settled
   * parameters must neither be read nor written, except by asynchronous calls (`itemAsync`), which come after it.
   */
  stepAsync(): Promise<void> {
    return queued(() => this.step());
  }

  /** Drops the gradients of all parameters. */
  zeroGrad(): void {
    for (const { params } of this.paramGroups) for (const parameter of params) parameter.grad = null;
  }

  /** States and hyperparameters in PyTorch's layout and names; tensors share the memory of the states. */
  stateDict(): OptimizerStateDict {
    const state: Record<string, Record<string, Tensor>> = {};
    const groups: SavedGroup[] = [];
    let number = 0;
    for (const group of this.paramGroups) {
      const saved: Record<string, unknown> = {};
      for (const [name, { toml }] of Object.entries(this.#table)) {
        if (!unsaved.has(name)) saved[toml] = group[name as keyof H];
      }
      if (group.initialLr !== undefined) saved['initial_lr'] = group.initialLr;
      groups.push({ ...saved, params: group.params.map((_, i) => number + i) });
      for (const parameter of group.params) {
        const own = this.state.get(parameter);
        if (own) state[number] = Object.fromEntries(Object.entries(own).map(savedValue));
        number += 1;
      }
    }
    return { state, param_groups: groups };
  }

  /**
   * Takes over states and hyperparameters, those that PyTorch saved too; tensors are copied. With an error nothing
   * has changed.
   * @throws ShapeError for other numbers of groups or parameters, or sizes; TypeError for states that are missing or no
   * tensors; ConfigError for hyperparameters
   */
  loadStateDict(dict: OptimizerStateDict): void {
    const op = `${this.constructor.name}.loadStateDict`;
    const sizes = (groups: readonly { readonly params: readonly unknown[] }[]): string =>
      `[${groups.map(({ params }) => params.length).join(', ')}]`;
    if (sizes(dict.param_groups) !== sizes(this.paramGroups)) {
      throw new ShapeError(
        `${op}: expected groups of ${sizes(this.paramGroups)} parameters, got ${sizes(dict.param_groups)}`,
      );
    }
    const hyperparameters = dict.param_groups.map((saved, i) => this.#restored(saved, i));
    const states = new Map<Tensor, () => ParameterState>();
    dict.param_groups.forEach((saved, i) => {
      saved.params.forEach((number, j) => {
        const parameter = this.paramGroups[i]!.params[j]!;
        const own = dict.state[number];
        // PyTorch writes null for a momentum that has not begun.
        if (own === undefined || Object.values(own).every((value) => value === null)) return;
        const initial = this.initialState(hyperparameters[i]!);
        requireState(own, initial, parameter, `${op}: the state of parameter ${number}`);
        states.set(parameter, () => copiedState(own, initial, parameter));
      });
    });
    this.#dropStates();
    for (const [parameter, copied] of states) this.state.set(parameter, copied());
    for (const [i, restored] of hyperparameters.entries()) Object.assign(this.paramGroups[i]!, restored);
  }

  #restored(saved: SavedGroup, index: number): H & { initialLr?: number } {
    const { params: _, lr, initial_lr: initialLr, ...rest } = saved;
    const path = ['param_groups', index];
    const known = new Set(
      Object.entries(this.#table).flatMap(([name, { toml }]) => (unsaved.has(name) ? [] : toml)),
    );
    const own = Object.entries(rest).filter(([name]) => known.has(name) || !ignored.has(name));
    const restored = resolveParameters<H>(this.#table, Object.fromEntries(own), path);
    this.#check(restored, path);
    // A schedule may have gone where an optimizer does not start, below zero.
    restored.lr = checkValue(finite(), lr, [...path, 'lr']);
    return typeof initialLr === 'number' ? { ...restored, initialLr } : restored;
  }

  #dropStates(): void {
    for (const own of this.state.values()) {
      for (const value of Object.values(own)) if (isTensor(value)) value.dispose();
    }
    this.state.clear();
  }

  /** Gives the memory of the states back; the parameters stay. */
  dispose(): void {
    this.#dropStates();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

// Options that change no result.
const unsaved: ReadonlySet<string> = new Set(['foreach', 'fused', 'capturable', 'differentiable']);

// What PyTorch's groups have besides: the same options, what repeats the class, what schedulers keep there.
const ignored: ReadonlySet<string> = new Set([
  ...unsaved,
  'decoupled_weight_decay',
  'param_names',
  'max_lr',
  'min_lr',
  'max_momentum',
  'base_momentum',
]);

// Options with the camelCase names; unknown ones stay for the check to name.
function byName(table: ParameterTable, given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const names = new Map(Object.entries(table).map(([name, { toml }]) => [toml, name]));
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given)) {
    const name = names.get(key) ?? key;
    // Both spellings: left apart, so that the check sees them.
    result[name in result ? key : name] = value;
  }
  return result;
}

function listOf<T>(values: unknown, op: string, argument: string): T[] {
  const isList = typeof values === 'object' && values !== null && Symbol.iterator in values;
  if (!isList || isTensor(values)) throw argumentError(op, argument, 'an iterable of Tensors', values);
  return [...(values as Iterable<T>)];
}

function buckets(parameters: readonly Tensor[]): Iterable<Bucket> {
  const found = new Map<string, Bucket>();
  for (const parameter of parameters) {
    const grad = parameter.grad;
    if (grad === null) continue;
    const key = `${parameter.dtype} ${parameter.device}`;
    let bucket = found.get(key);
    if (bucket === undefined) {
      bucket = { params: [], grads: [] };
      found.set(key, bucket);
    }
    bucket.params.push(parameter);
    bucket.grads.push(inLayoutOf(parameter, grad));
  }
  return found.values();
}

// Fused operators of libtorch walk over the bare memory of parameter and gradient side by side. Backward gives
// gradients in the parameter's layout; one that a user has assigned may have another.
function inLayoutOf(parameter: Tensor, grad: Tensor): Tensor {
  const [own, other] = [parameter.strides, grad.strides];
  return own.every((stride, i) => stride === other[i]) ? grad : emptyLike(parameter).copy_(grad);
}

function requireDense(parameter: Tensor, op: string): void {
  const { shape, strides } = parameter;
  const order = shape.map((_, i) => i).filter((i) => shape[i] !== 1);
  order.sort((a, b) => strides[a]! - strides[b]!);
  let size = 1;
  for (const i of order) {
    if (strides[i] !== size && parameter.numel > 0) {
      throw argumentError(op, 'params', 'tensors without gaps or overlaps in memory', `strides [${strides}]`);
    }
    size *= shape[i]!;
  }
}

function savedValue([name, value]: [string, Tensor | number]): [string, Tensor] {
  return [name, isTensor(value) ? value.detach() : full([], value)];
}

function requireState(
  own: Readonly<Record<string, Tensor | null>>,
  { numbers, tensors }: InitialState,
  parameter: Tensor,
  what: string,
): void {
  for (const name of new Set([...Object.keys(numbers), ...Object.keys(tensors), ...Object.keys(own)])) {
    const value: unknown = own[name];
    const isNumber = name in numbers;
    if (isNumber && typeof value === 'number') continue;
    // Null is what is not used, as a momentum without momentum.
    if (value === null && !isNumber && !(name in tensors)) continue;
    if (typeof value !== 'object' || value === null || !isTensor(value)) {
      throw argumentError(what, name, 'a Tensor', value);
    }
    if (isNumber ? value.numel !== 1 : String(value.shape) !== String(parameter.shape)) {
      const expected = isNumber ? 'one element' : `[${parameter.shape}]`;
      throw new ShapeError(`${what}: '${name}' has shape [${value.shape}], expected ${expected}`);
    }
  }
}

function copiedState(
  own: Readonly<Record<string, Tensor | number | null>>,
  { numbers }: InitialState,
  parameter: Tensor,
): ParameterState {
  const result: ParameterState = {};
  for (const [name, value] of Object.entries(own)) {
    if (value === null) continue;
    if (name in numbers) result[name] = isTensor(value) ? Number(value.item()) : (value as number);
    else
      result[name] = noGrad(() => keep(emptyLike(parameter, { requiresGrad: false }).copy_(value as Tensor)));
  }
  return result;
}
