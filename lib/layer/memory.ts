import { ShapeError } from '../errors.js';
import { sameShape } from '../nn/arguments.js';
import { StepModule } from '../nn/index.js';
import { type Device, type DType, full, isTensor, keep, Tensor } from '../tensor/index.js';
import { argumentError } from '../tensor/operator.js';

/** What one time step of an input looks like. */
export interface StepLike {
  /** `[N, *]`, without the time. */
  readonly shape: readonly number[];
  /** What the state is to be in. */
  readonly dtype: DType;
  /** Where the state is to be. */
  readonly device: Device;
}

/**
 * One state of a module: a number until the first input, then a tensor of the shape of one step. The module holds a
 * reference of its own, so scopes and callers may dispose theirs.
 */
export class State {
  #value: Tensor | number | null = null;
  #assigned = false;
  #warned = false;
  readonly #owner: string;
  readonly #name: string;
  readonly #initial: () => number;
  readonly #start: (step: StepLike) => Tensor;

  /**
   * @param owner class, for messages
   * @param name field, for messages
   * @param initial the number that stands for the state after a reset
   * @param start the tensor that the first input makes of it; default: filled with that number
   */
  constructor(
    owner: string,
    name: string,
    initial: () => number,
    start: (step: StepLike) => Tensor = (step) => filled(step, initial()),
  ) {
    this.#owner = owner;
    this.#name = name;
    this.#initial = initial;
    this.#start = start;
  }

  /** The field of the module that gives and takes it. */
  get name(): string {
    return this.#name;
  }

  /** A new Tensor object over the state, or a number before the first input. */
  get value(): Tensor | number {
    const value = this.#value;
    return isTensor(value) ? new Tensor(value) : (value ?? this.#initial());
  }

  /** Assigned by a user: a tensor of the shape of one step, or a number that fills it. */
  set value(value: Tensor | number) {
    if (!isTensor(value) && typeof value !== 'number') {
      throw argumentError(this.#owner, this.#name, 'a Tensor or a number', value);
    }
    this.#replace(isTensor(value) ? new Tensor(value) : value);
    this.#assigned = true;
  }

  /**
   * The state as a tensor that fits one step of the input. One that is left over from another batch shape starts
   * anew, with one warning. The caller must not dispose it.
   * @throws ShapeError if a user assigned a tensor of another shape
   */
  fit(step: StepLike): Tensor {
    const value = this.#value;
    const { dtype, device } = step;
    if (isTensor(value)) {
      if (sameShape(value.shape, step.shape)) return value.to({ dtype, device });
      if (this.#assigned) {
        throw new ShapeError(
          `${this.#owner}: argument '${this.#name}' must have the shape of one step, [${step.shape}], got [${value.shape}]`,
        );
      }
      this.#warn(value.shape, step.shape);
    }
    return typeof value === 'number' ? filled(step, value) : this.#start(step);
  }

  /** Makes the module the owner of a tensor that an operator just made, or of what `fit` gave. */
  take(tensor: Tensor): void {
    this.#replace(tensor);
    this.#assigned = false;
  }

  /** Back to the number that stands for the state before the first input. */
  reset(): void {
    this.#replace(null);
    this.#assigned = false;
  }

  /** Cuts the state off the graph that made it. */
  detach(): void {
    if (isTensor(this.#value)) this.#replace(this.#value.detach());
  }

  #replace(value: Tensor | number | null): void {
    const old = this.#value;
    this.#value = isTensor(value) ? keep(value, 'states') : value;
    if (isTensor(old) && old !== value) old.dispose();
  }

  #warn(old: readonly number[], shape: readonly number[]): void {
    if (this.#warned) return;
    this.#warned = true;
    process.emitWarning(
      `${this.#owner}: the state '${this.#name}' of shape [${old}] is left over from another batch shape and starts ` +
        `anew for [${shape}]; call resetNet(net) between sequences`,
      { type: 'SpikenodeStateWarning', code: 'SPIKENODE_STATE_RESTARTED' },
    );
  }
}

/** A module with states over time: they stay until `reset()`, attached to the graph that made them. */
export abstract class MemoryModule extends StepModule {
  /** The states of this module alone. */
  protected abstract states(): Iterable<State>;

  /** The states of this module alone by their names, as a checkpoint keeps them. */
  *namedStates(): Generator<[string, State]> {
    for (const state of this.states()) yield [state.name, state];
  }

  /** Back to the initial states; to be called between sequences. */
  reset(): void {
    for (const state of this.states()) state.reset();
  }

  /** Keeps the states' values and lets go of their graph, for truncated backpropagation through time. */
  detach(): void {
    for (const state of this.states()) state.detach();
  }
}

function filled({ shape, dtype, device }: StepLike, value: number): Tensor {
  return full(shape, value, { dtype, device });
}
