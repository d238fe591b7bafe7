import { DTypeError } from '../errors.js';
import {
  type Device,
  type DType,
  isTensor,
  noGrad,
  Scope,
  type Tensor,
  type ToOptions,
} from '../tensor/index.js';
import { unscope } from '../tensor/scope.js';
import { swapHandles } from '../tensor/tensor.js';
import { Buffer, Parameter } from './parameter.js';
import { copyState, type LoadResult, type StateDict } from './state-dict.js';

/** Called with the inputs before `forward`; an array that it returns replaces them. */
export type ForwardPreHook = (module: Module, inputs: unknown[]) => unknown[] | undefined | undefined;

/** Called after `forward`; a result other than undefined replaces the output. */
export type ForwardHook = (module: Module, inputs: unknown[], output: unknown) => unknown;

/** What registering a hook returns. */
export interface HookHandle {
  /** The hook is not called any more; harmless when repeated. */
  remove(): void;
}

type Member = Parameter | Buffer | Module;

/**
 * Base class of everything that has parameters. Parameters, buffers and modules are found by walking the
 * instance's fields, arrays and plain objects among them; `#private` fields are not seen:
 *
 *     class Net extends Module {
 *       readonly hidden = new Linear(64, 128);      // 'hidden.weight', 'hidden.bias'
 *       readonly heads = [new Linear(128, 10)];     // 'heads.0.weight', ...
 *       #secret = new Linear(10, 10);               // not seen: neither trained nor saved
 *       forward(x: Tensor): Tensor { ... }
 *     }
 *
 * Any other tensor in a field needs `registerBuffer` or `keep`, else the end of a scope disposes it.
 */
export class Module {
  /** Whether the module trains (default) or evaluates; set by `train()` and `eval()`. */
  training = true;
  readonly #preHooks = new Set<ForwardPreHook>();
  readonly #hooks = new Set<ForwardHook>();
  #intercepted = false;

  /** What the module computes; every class gives its own. */
  forward(..._inputs: never[]): unknown {
    throw new TypeError(`${this.constructor.name} has no forward(); a class that extends it must give one`);
  }

  /** The name of a field in `namedParameters()` and `stateDict()`, where it differs from the field's. */
  protected memberName(field: string): string {
    return field;
  }

  /** The named values that the walk looks at, in their order. */
  protected members(): Iterable<readonly [string, unknown]> {
    return Object.entries(this).map(([field, value]) => [this.memberName(field), value] as const);
  }

  *#owned(): Generator<[string, Member]> {
    const seen = new Set<object>();
    for (const [name, value] of this.members()) yield* findMembers(name, value, seen);
  }

  /** This module and all below it, each once, parents first. */
  *namedModules(): Generator<[string, Module]> {
    yield* this.#walk('', new Set());
  }

  *#walk(prefix: string, seen: Set<Module>): Generator<[string, Module]> {
    if (seen.has(this)) return;
    seen.add(this);
    yield [prefix, this];
    for (const [name, member] of this.#owned()) {
      if (member instanceof Module) yield* member.#walk(join(prefix, name), seen);
    }
  }

  /** This module and all below it, each once, parents first. */
  *modules(): Generator<Module> {
    for (const [, module] of this.namedModules()) yield module;
  }

  /** The modules directly below this one. */
  *namedChildren(): Generator<[string, Module]> {
    const seen = new Set<Module>();
    for (const [name, member] of this.#owned()) {
      if (!(member instanceof Module) || seen.has(member)) continue;
      seen.add(member);
      yield [name, member];
    }
  }

  /** The modules directly below this one. */
  *children(): Generator<Module> {
    for (const [, module] of this.namedChildren()) yield module;
  }

  /** All parameters, each once, with their names: `layers.fc1.weight`. */
  *namedParameters(): Generator<[string, Parameter]> {
    yield* this.#named(Parameter);
  }

  /** All parameters, each once. */
  *parameters(): Generator<Parameter> {
    for (const [, found] of this.namedParameters()) yield found;
  }

  /** All buffers, each once, with their names: `layers.bn1.running_mean`. */
  *namedBuffers(): Generator<[string, Buffer]> {
    yield* this.#named(Buffer);
  }

  /** All buffers, each once. */
  *buffers(): Generator<Buffer> {
    for (const [, found] of this.namedBuffers()) yield found;
  }

  *#named<T extends Parameter | Buffer>(kind: abstract new (...args: never[]) => T): Generator<[string, T]> {
    const seen = new Set<Member>();
    for (const [prefix, module] of this.namedModules()) {
      for (const [name, member] of module.#owned()) {
        if (!(member instanceof kind) || seen.has(member)) continue;
        seen.add(member);
        yield [join(prefix, name), member];
      }
    }
  }

  /** Parameters and persistent buffers by name, in PyTorch's order; detached, over the same memory. */
  stateDict(): StateDict {
    const entries = [...this.#state('', new Set())];
    return Object.fromEntries(entries.map(([name, value]) => [name, value.detach()]));
  }

  // Unlike namedParameters, a shared parameter is listed under each of its names.
  *#state(prefix: string, above: ReadonlySet<Module>): Generator<[string, Parameter | Buffer]> {
    if (above.has(this)) return;
    const owned = [...this.#owned()];
    for (const [name, member] of owned) {
      if (member instanceof Parameter) yield [join(prefix, name), member];
    }
    for (const [name, member] of owned) {
      if (member instanceof Buffer && member.persistent) yield [join(prefix, name), member];
    }
    const path = new Set(above).add(this);
    for (const [name, member] of owned) {
      if (member instanceof Module) yield* member.#state(join(prefix, name), path);
    }
  }

  /**
   * Copies values of a state dictionary into the parameters and buffers of the same names; dtype and device are
   * converted. With an error nothing has been copied.
   * @param options.strict missing and unexpected names are errors; default true
   * @throws TypeError names that are missing or unexpected, values that are no tensors; ShapeError sizes that differ
   */
  loadStateDict(
    state: StateDict | ReadonlyMap<string, Tensor>,
    options: { readonly strict?: boolean } = {},
  ): LoadResult {
    return copyState(
      this.constructor.name,
      new Map(this.#state('', new Set())),
      state,
      options.strict ?? true,
    );
  }

  /** Makes `tensor` a buffer under the given field: it belongs to the module, not to a scope. */
  registerBuffer(name: string, tensor: Tensor, options: { readonly persistent?: boolean } = {}): Buffer {
    if (typeof name !== 'string' || name === '' || name.includes('.')) {
      throw new TypeError(`registerBuffer: argument 'name' must be a name without dots, got ${String(name)}`);
    }
    if (!isTensor(tensor)) throw new TypeError(`registerBuffer: argument 'tensor' must be a Tensor`);
    const buffer = new Buffer(tensor, options.persistent ?? true);
    Object.defineProperty(this, name, {
      value: buffer,
      writable: true,
      enumerable: true,
      configurable: true,
    });
    return buffer;
  }

  /** Sets training mode here and below; returns this. */
  train(mode: boolean = true): this {
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  /** `train(false)`. Gradients are recorded as before; use `noGrad` against that. */
  eval(): this {
    return this.train(false);
  }

  /** Calls fn for every module below this one and then for this one; returns this. */
  apply(fn: (module: Module) => void): this {
    for (const child of this.children()) child.apply(fn);
    fn(this);
    return this;
  }

  /** Sets `requiresGrad` of all parameters; returns this. */
  requiresGrad_(value: boolean = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad = value;
    return this;
  }

  /** Drops the gradients of all parameters. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) parameter.grad = null;
  }

  /**
   * Converts parameters, buffers and states in place; returns this. A dtype is for the floating-point ones only.
   * Not to be called while a `backwardAsync` over this module runs.
   * @throws DTypeError for a dtype that is not floating-point
   */
  to(target: DType | Device | Omit<ToOptions, 'copy'>): this {
    const { dtype, device } = typeof target === 'string' ? targetOf(target) : target;
    if (dtype !== undefined && !isFloating(dtype)) {
      throw new DTypeError(`Module.to: argument 'dtype' must be a floating-point dtype, got ${dtype}`);
    }
    const convert = (value: Tensor): Tensor =>
      value.to({
        ...(dtype !== undefined && isFloating(value.dtype) ? { dtype } : {}),
        ...(device !== undefined ? { device } : {}),
      });
    for (const value of [...this.parameters(), ...this.buffers()]) convertInPlace(value, convert);
    for (const module of this.modules()) module.convertStates(convert);
    return this;
  }

  /** What else `to` has to convert: a module with states overrides it. */
  protected convertStates(_convert: (value: Tensor) => Tensor): void {}

  /** Calls the hook before each `forward` of this module. */
  registerForwardPreHook(hook: ForwardPreHook): HookHandle {
    this.#interceptForward();
    this.#preHooks.add(hook);
    return { remove: () => this.#preHooks.delete(hook) };
  }

  /** Calls the hook after each `forward` of this module. */
  registerForwardHook(hook: ForwardHook): HookHandle {
    this.#interceptForward();
    this.#hooks.add(hook);
    return { remove: () => this.#hooks.delete(hook) };
  }

  // An own property shadows the class's forward, so that there is one way to call a module, and a module without
  // hooks pays nothing for them.
  #interceptForward(): void {
    if (this.#intercepted) return;
    this.#intercepted = true;
    const forward = this.forward as (...inputs: unknown[]) => unknown;
    const value = (...given: unknown[]): unknown => {
      let inputs = given;
      for (const hook of this.#preHooks) inputs = hook(this, inputs) ?? inputs;
      let output = forward.apply(this, inputs);
      for (const hook of this.#hooks) output = hook(this, inputs, output) ?? output;
      return output;
    };
    Object.defineProperty(this, 'forward', { value, writable: true, configurable: true });
  }

  /** What `toString()` shows between the parentheses. */
  protected describe(): string {
    return '';
  }

  /** The tree of modules, as PyTorch prints it. */
  toString(): string {
    const lines = [...this.namedChildren()].map(
      ([name, child]) => `  (${name}): ${child.toString().replaceAll('\n', '\n  ')}`,
    );
    const own = this.describe();
    if (lines.length === 0) return `${this.constructor.name}(${own})`;
    const body = own === '' ? lines : [`  ${own}`, ...lines];
    return `${this.constructor.name}(\n${body.join('\n')}\n)`;
  }
}

// console.log shows the tree too. Not a member: declarations cannot name a registered symbol.
Object.defineProperty(Module.prototype, Symbol.for('nodejs.util.inspect.custom'), {
  value(this: Module): string {
    return this.toString();
  },
});

/** A module from one tensor to one tensor, which is what containers hold. */
export interface Layer extends Module {
  forward(x: Tensor): Tensor;
}

function join(prefix: string, name: string): string {
  return prefix === '' ? name : `${prefix}.${name}`;
}

function* findMembers(name: string, value: unknown, seen: Set<object>): Generator<[string, Member]> {
  if (value === null || typeof value !== 'object') return;
  if (value instanceof Module || value instanceof Parameter || value instanceof Buffer) {
    yield [name, value];
    return;
  }
  const isPlain = Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
  if (!isPlain || seen.has(value)) return;
  seen.add(value);
  for (const [key, item] of Object.entries(value)) yield* findMembers(`${name}.${key}`, item, seen);
}

function targetOf(target: string): { dtype?: DType; device?: Device } {
  const isDevice = target === 'cpu' || target.startsWith('cuda');
  return isDevice ? { device: target as Device } : { dtype: target as DType };
}

function isFloating(dtype: DType): boolean {
  return dtype.startsWith('float') || dtype === 'bfloat16';
}

// The object stays the same, so that an optimizer that holds it goes on with the converted values.
function convertInPlace(value: Parameter | Buffer, convert: (value: Tensor) => Tensor): void {
  const scope = new Scope();
  try {
    scope.run(() => {
      const converted = noGrad(() => convert(value));
      if (converted === value) return;
      const gradient = value.grad;
      converted.requiresGrad = value.requiresGrad;
      if (gradient !== null) converted.grad = noGrad(() => convert(gradient));
      swapHandles(value, converted);
      // The finalizer of a kept tensor knows its handle, which is another one now.
      unscope(value);
    });
  } finally {
    scope.dispose();
  }
}
