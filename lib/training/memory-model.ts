import { Dropout, resetNet } from '../layer/index.js';
import { BaseNode } from '../neuron/index.js';
import {
  BatchNorm1d,
  BatchNorm2d,
  Conv1d,
  Conv2d,
  Flatten,
  MaxPool1d,
  MaxPool2d,
  type Module,
  Parameter,
  StatelessLayer,
  type StepModule,
} from '../nn/index.js';
import type { SNN } from '../snn.js';
import { isTensor, memory, noGrad, Scope, type Tensor, zerosLike } from '../tensor/index.js';
import { addon } from '../tensor/operator.js';
import { blockBytes } from '../tensor/runtime.js';
import { handleOf } from '../tensor/tensor.js';
import type { ResolvedOptimizer } from './configuration.js';
import {
  type MemoryQuestion,
  type ModelMemory,
  randomBatch,
  type StepMemory,
  withWorkspace,
} from './step-memory.js';

/** One call of a layer, in bytes of its tensors. */
interface Call {
  readonly module: Module;
  readonly input: number;
  /** 0 if it is a view of the input. */
  readonly output: number;
  /** A dense copy of an input that is expanded in time. */
  readonly copy: number;
  /** What backward needs besides inputs and outputs. */
  readonly kept: number;
  /** What only lives during the call. */
  readonly passing: number;
  /** What only lives during its backward. */
  readonly passingBack: number;
  /** The state of a neuron. */
  readonly state: number;
  /** Whether the layer was called before. */
  readonly isLater: boolean;
  /** Whether a gradient for the input is wanted. */
  readonly wanted: boolean;
}

/** What one pass over a batch looks like. */
interface Trace {
  readonly calls: readonly Call[];
  readonly states: number;
  /** What is made outside layers: the states at the start, the mean over time, the loss, the predicted classes. */
  readonly outside: number;
  readonly batch: number;
  /** Of the gradient of all outputs `[T, N, classes]`. */
  readonly head: number;
}

/**
 * Computes from shapes what `measureMemory` measures; docs/memory.md has the formula. The network runs once on a batch,
 * in evaluation and without gradients, for the shapes of its layers' inputs and outputs. What it computes outside
 * layers is not seen.
 */
export function predictMemory(question: MemoryQuestion): ModelMemory {
  const { framework, optimizer } = question;
  const model = question.build();
  try {
    const own = {
      parameters: sum([...model.parameters()], bytesOf),
      buffers: sum([...model.buffers()], bytesOf),
    };
    const trains = optimizer !== null && framework.loss !== null;
    return {
      training: trains ? trainingOf(model, own, traced(model, question, true), optimizer) : null,
      evaluation: evaluationOf(own, traced(model, question, false)),
    };
  } finally {
    for (const owned of [...model.parameters(), ...model.buffers()]) owned.dispose();
  }
}

type Own = Pick<StepMemory, 'parameters' | 'buffers'>;

// Every output lives until the end of the batch.
function evaluationOf(own: Own, { calls, states, outside, batch }: Trace): StepMemory {
  let live = own.parameters + own.buffers + states + batch;
  let peak = live;
  for (const { output, copy, passing } of calls) {
    live += output + copy;
    peak = Math.max(peak, live + passing);
  }
  const activations = sum(calls, ({ output, copy }) => output + copy) + outside;
  peak = Math.max(peak, live + outside);
  return withWorkspace({ ...own, gradients: 0, optimizer: 0, states, batch, activations, peak });
}

// Backward call by call from the end: a layer holds the gradients of its output and its input, parameters get theirs,
// and a neuron writes the gradient of its input into the membrane that it kept, with the gradient of its state beside it.
// In step mode 's' a layer is called in each step: the state's gradient lives from one to the next, and the parameters'
// gradients are added out of place.
function trainingOf(model: SNN, own: Own, trace: Trace, resolved: ResolvedOptimizer): StepMemory {
  const { calls, states, outside, batch, head } = trace;
  const activations = sum(calls, ({ output, copy, kept }) => output + copy + kept) + outside;
  const optimizer = statesPerParameter(model, resolved) * own.parameters;
  let live = own.parameters + own.buffers + optimizer + states + batch + activations + head;
  let peak = live;
  let gradients = 0;
  let incoming = model.stepMode === 'm' ? head : 0;
  const reached = new Set<Parameter | Module>();
  for (const { module, input, output, kept, passingBack, wanted, state, isLater } of [...calls].reverse()) {
    if (output === 0) continue; // a view
    const isNode = module instanceof BaseNode;
    const parameters = [...module.parameters()].filter((parameter) => parameter.requiresGrad);
    const lasting = sum(
      parameters.filter((parameter) => !reached.has(parameter)),
      bytesOf,
    );
    const passing = 2 * (sum(parameters, bytesOf) - lasting) + passingBack + (wanted ? state : 0);
    const made = wanted && !isNode ? input : 0;
    live += made + lasting + passing;
    gradients += lasting;
    peak = Math.max(peak, live);
    live -= passing + incoming;
    if (wanted && isLater && !reached.has(module)) live += state;
    if (wanted && !isLater && reached.has(module)) live -= state;
    // The membrane is the gradient now, and goes when the layer before is done.
    incoming = isNode && wanted ? kept : made;
    if (!isNode || !wanted) live -= kept;
    for (const own of [module, ...parameters]) reached.add(own);
  }
  return withWorkspace({ ...own, gradients, optimizer, states, batch, activations, peak });
}

/** Runs the network once. @param training whether calls and states are those of a training step */
function traced(model: SNN, { framework, batchSize }: MemoryQuestion, training: boolean): Trace {
  const calls: Call[] = [];
  const states = new Map<Module, number>();
  // Gradients reach back to the first layer with parameters, in each time step.
  let reaches = false;
  const hooks = [...model.modules()]
    .filter((module) => [...module.children()].length === 0)
    .map((module) =>
      module.registerForwardHook((_, [input], output) => {
        if (!isTensor(input) || !isTensor(output)) return undefined;
        const isDropout = training && module instanceof Dropout;
        const isView = !isDropout && addon().sharesStorage(handleOf(input), handleOf(output));
        const isNode = module instanceof BaseNode;
        const folds = module instanceof StatelessLayer && !(module instanceof Flatten);
        const copies = folds && !isView && isExpanded(input) && !isExpanded(output);
        const earlier = calls.find((call) => call.module === module);
        const isLater = earlier !== undefined;
        const wanted = earlier?.wanted ?? reaches;
        const state = isNode || isDropout ? bytesOfStep(module, output) : 0;
        states.set(module, state);
        calls.push({
          module,
          input: bytesOf(input),
          output: isView ? 0 : bytesOf(output),
          copy: copies ? bytesOf(input) : 0,
          kept: training && (wanted || !isNode) ? keptBy(module, output) : 0,
          // The state of a neuron lives until the next one is there.
          passing: isNode && isLater ? state : passingIn(module, input, output),
          passingBack: passingInBackward(module, input, output),
          wanted,
          state: isNode ? state : 0,
          isLater,
        });
        reaches ||= [...module.parameters()].some((parameter) => parameter.requiresGrad);
        return undefined;
      }),
    );
  using scope = new Scope();
  model.eval();
  const { batch, outputs, predicted } = scope.run(() => {
    const { x, y } = randomBatch(model, framework, batchSize);
    const found = noGrad(() => framework.forward(model, x));
    return { batch: bytesOf(x) + bytesOf(y), outputs: found, predicted: bytesOf(y) };
  });
  resetNet(model);
  for (const hook of hooks) hook.remove();
  const head = blockBytes(model.timesteps * itemSize(outputs) * outputs.numel);
  const stacked = model.stepMode === 's' ? head : 0;
  const starts = sum([...states], ([module, bytes]) => (module instanceof BaseNode ? bytes : 0));
  // Backward needs the logarithms of the classes' shares.
  const outside = starts + stacked + (training ? 2 : 1) * bytesOf(outputs) + predicted;
  return { calls, states: sum([...states.values()], (bytes) => bytes), outside, batch, head };
}

// Of one time step `[N, *]`.
function bytesOfStep({ stepMode }: StepModule, output: Tensor): number {
  const steps = stepMode === 'm' ? output.shape[0]! : 1;
  return blockBytes((itemSize(output) * output.numel) / steps);
}

// By the class of the layer: the charged membrane, the places of the largest values, the statistics of the batch.
function keptBy(module: Module, output: Tensor): number {
  if (module instanceof BaseNode) return bytesOf(output);
  if (isMaxPool(module)) return blockBytes(8 * output.numel);
  if (isBatchNorm(module)) return 2 * blockBytes(itemSize(output) * module.numFeatures);
  return 0;
}

// A pooling finds places that nobody wants without a backward; a convolution has its input and then its output in the
// layout of its library too.
function passingIn(module: Module, input: Tensor, output: Tensor): number {
  if (isMaxPool(module)) return keptBy(module, output);
  return isConv(module) ? Math.max(bytesOf(input), bytesOf(output)) : 0;
}

// A convolution has both in the layout of its library, a batch normalisation one tensor more than its results.
function passingInBackward(module: Module, input: Tensor, output: Tensor): number {
  if (isConv(module)) return bytesOf(input) + bytesOf(output);
  return isBatchNorm(module) ? bytesOf(input) : 0;
}

function isBatchNorm(module: Module): module is BatchNorm1d | BatchNorm2d {
  return module instanceof BatchNorm1d || module instanceof BatchNorm2d;
}

function isMaxPool(module: Module): boolean {
  return module instanceof MaxPool1d || module instanceof MaxPool2d;
}

function isConv(module: Module): boolean {
  return module instanceof Conv1d || module instanceof Conv2d;
}

function isExpanded({ shape, strides }: Tensor): boolean {
  return strides.some((stride, i) => stride === 0 && shape[i]! > 1);
}

// How many tensors of its size the optimizer keeps for a parameter, from a step with a small one.
function statesPerParameter(model: SNN, resolved: ResolvedOptimizer): number {
  const [first] = model.parameters();
  using scope = new Scope();
  return scope.run(() => {
    const small = new Parameter(
      zerosLike(first!.detach().flatten().narrow(0, 0, 1))
        .expand([64])
        .clone(),
    );
    small.grad = zerosLike(small);
    const before = memory().owners.optimizer.bytes;
    const { optimizer } = resolved.create([small]);
    optimizer.step();
    const states = (memory().owners.optimizer.bytes - before) / bytesOf(small);
    optimizer.dispose();
    small.dispose();
    return Math.round(states);
  });
}

function itemSize({ dtype }: Tensor): number {
  const bits = /(8|16|32|64|128)$/.exec(dtype);
  return bits === null ? 1 : Number(bits[1]) / 8;
}

/** What the allocator counts for a tensor with memory of its own. */
function bytesOf(x: Tensor): number {
  return blockBytes(itemSize(x) * x.numel);
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((all, value) => all + of(value), 0);
}
