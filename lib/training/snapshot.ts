import { MemoryModule } from '../layer/index.js';
import type { Module } from '../nn/index.js';
import { getRngState, isTensor, keep, setRngState, type Tensor } from '../tensor/index.js';
import { placementOf } from './batches.js';
import type { BestEpoch, BestEpochState } from './best-epoch.js';
import type { GradScaler } from './grad-scaler.js';
import type { Optimizer, OptimizerStateDict, SavedGroup } from './optimizer.js';
import type { Scheduler } from './scheduler.js';

/** What changes while a network is trained. */
export interface TrainingParts {
  readonly model: Module;
  readonly optimizer: Optimizer | null;
  readonly scheduler: Scheduler | null;
  readonly scaler: GradScaler;
  readonly best: BestEpoch | null;
  /** Whether the states of neurons go on from batch to batch. */
  readonly keepsStates: boolean;
}

/** The part of it that is no tensor, as JSON has it. */
export interface PartsState {
  readonly optimizer: {
    readonly param_groups: readonly SavedGroup[];
    /** Values of the parameters' states that are plain numbers, by `<number>.<name>`. */
    readonly values: Readonly<Record<string, number>>;
  } | null;
  readonly scheduler: object | null;
  /** Of the scaler of losses; empty where none is needed. */
  readonly scaler: ReturnType<GradScaler['stateDict']>;
  readonly best_epoch: BestEpochState | null;
  /** States before their first input. */
  readonly neuron_states: Readonly<Record<string, number>>;
}

/** The parts as they are now. The tensors share their memory and belong to the current scope. */
export function capture(parts: TrainingParts): { state: PartsState; tensors: Map<string, Tensor> } {
  const tensors = new Map<string, Tensor>();
  const add = (prefix: string, entries: Iterable<readonly [string, Tensor]>): void => {
    for (const [name, value] of entries) tensors.set(prefix + name, value);
  };
  add('model.', Object.entries(parts.model.stateDict()));
  add('buffers.', temporaryBuffers(parts.model));
  for (const [name, value] of captureGenerators(parts.model)) tensors.set(name, value);
  const values: Record<string, number> = {};
  const saved = parts.optimizer?.stateDict();
  for (const [number, own] of Object.entries(saved?.state ?? {})) {
    for (const [name, value] of Object.entries(own)) {
      if (isTensor(value)) tensors.set(`optimizer.${number}.${name}`, value);
      else values[`${number}.${name}`] = value;
    }
  }
  add('best.', parts.best?.weights ?? []);
  const numbers: Record<string, number> = {};
  for (const [name, state] of parts.keepsStates ? statesOf(parts.model) : []) {
    const { value } = state;
    if (isTensor(value)) tensors.set(`states.${name}`, value.detach());
    else numbers[name] = value;
  }
  const state = {
    optimizer: saved ? { param_groups: saved.param_groups, values } : null,
    scheduler: parts.scheduler?.stateDict() ?? null,
    scaler: parts.scaler.stateDict(),
    best_epoch: parts.best?.stateDict() ?? null,
    neuron_states: numbers,
  };
  return { state, tensors };
}

/** Gives the parts what `capture` found in others of the same form; the tensors are copied. @throws what they throw */
export function restore(parts: TrainingParts, state: PartsState, tensors: ReadonlyMap<string, Tensor>): void {
  const group = (prefix: string): Map<string, Tensor> => {
    const own = [...tensors].filter(([name]) => name.startsWith(prefix));
    return new Map(own.map(([name, value]) => [name.slice(prefix.length), value]));
  };
  parts.model.loadStateDict(group('model.'));
  const buffers = group('buffers.');
  for (const [name, buffer] of temporaryBuffers(parts.model)) buffer.copy_(required(buffers, name));
  parts.optimizer?.loadStateDict(optimizerState(state, group('optimizer.')));
  if (state.scheduler !== null) parts.scheduler?.loadStateDict(state.scheduler as never);
  parts.scaler.loadStateDict(state.scaler);
  if (state.best_epoch !== null) parts.best?.loadStateDict(state.best_epoch, group('best.'));
  const states = group('states.');
  for (const [name, own] of parts.keepsStates ? statesOf(parts.model) : []) {
    // Not assigned as by a user: another batch shape starts them anew.
    if (states.has(name)) own.take(keep(required(states, name).clone()));
  }
  restoreGenerators(parts.model, tensors);
}

/** libtorch's default generators that a training draws from: the CPU's, and that of the model's GPU. */
export function captureGenerators(model: Module): Map<string, Tensor> {
  const { device } = placementOf(model);
  const generators = new Map([['rng.cpu', getRngState()]]);
  if (device !== 'cpu') generators.set('rng.cuda', getRngState(device));
  return generators;
}

/** Takes over what `captureGenerators` gave. What was captured on another kind of device has no state for a GPU. */
export function restoreGenerators(model: Module, generators: ReadonlyMap<string, Tensor>): void {
  const { device } = placementOf(model);
  setRngState(required(generators, 'rng.cpu'));
  const own = generators.get('rng.cuda');
  if (own !== undefined && device !== 'cpu') setRngState(own, device);
}

function optimizerState({ optimizer }: PartsState, tensors: ReadonlyMap<string, Tensor>): OptimizerStateDict {
  const state: Record<string, Record<string, Tensor>> = {};
  for (const [path, value] of [...tensors, ...Object.entries(optimizer?.values ?? {})]) {
    const [number = '', name = ''] = path.split('.');
    state[number] = { ...state[number], [name]: value as Tensor };
  }
  return { state, param_groups: optimizer?.param_groups ?? [] };
}

function temporaryBuffers(model: Module): [string, Tensor][] {
  return [...model.namedBuffers()].filter(([, buffer]) => !buffer.persistent);
}

function* statesOf(model: Module): ReturnType<MemoryModule['namedStates']> {
  for (const [prefix, module] of model.namedModules()) {
    if (!(module instanceof MemoryModule)) continue;
    for (const [name, state] of module.namedStates())
      yield [prefix === '' ? name : `${prefix}.${name}`, state];
  }
}

function required(tensors: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const found = tensors.get(name);
  if (found === undefined) throw new TypeError(`there is no tensor '${name}'`);
  return found;
}
