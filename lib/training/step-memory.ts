import { resetNet } from '../layer/index.js';
import type { SNN } from '../snn.js';
import {
  enableGrad,
  Generator,
  type MemoryReport,
  memory,
  noGrad,
  rand,
  randint,
  resetPeakMemory,
  Scope,
  type Tensor,
  tidy,
} from '../tensor/index.js';
import { placementOf } from './batches.js';
import type { ResolvedOptimizer } from './configuration.js';
import { judge } from './evaluate.js';
import type { Framework, FrameworkClass } from './framework.js';

/**
 * Bytes of one batch's work by owner, each at its largest, and at the moment when all together are largest. The parts
 * need not be largest at the same time, so their sum may be above the peak.
 */
export interface StepMemory {
  readonly parameters: number;
  readonly buffers: number;
  readonly gradients: number;
  readonly optimizer: number;
  /** Of neurons and of dropout. */
  readonly states: number;
  /** Inputs and targets. */
  readonly batch: number;
  /** What the forward pass leaves: outputs of layers, and in training what backward needs. */
  readonly activations: number;
  /** The rest of the peak: what lives during an operator, or from one to the next in backward. */
  readonly workspace: number;
  readonly peak: number;
}

/** What training and evaluation take. */
export interface ModelMemory {
  /** A step as `fit` does it, the second one, whose optimizer has its states; null where nothing is trained. */
  readonly training: StepMemory | null;
  /** A batch as `evaluate` does it. */
  readonly evaluation: StepMemory;
}

/** Whose memory is asked for. */
export interface MemoryQuestion {
  /** A new network, whose weights may change. */
  build(): SNN;
  readonly batchSize: number;
  readonly framework: Framework;
  /** Null where nothing is trained. */
  readonly optimizer: ResolvedOptimizer | null;
}

/** With the workspace that is left of the peak. */
export function withWorkspace(known: Omit<StepMemory, 'workspace'>): StepMemory {
  const { peak, ...parts } = known;
  const sum = Object.values(parts).reduce((all, bytes) => all + bytes, 0);
  return { ...parts, workspace: Math.max(peak - sum, 0), peak };
}

/** Inputs and targets of the right shapes for a network, in the current scope. */
export function randomBatch(
  model: SNN,
  framework: Framework,
  batchSize: number,
): { readonly x: Tensor; readonly y: Tensor } {
  const { timeInData } = framework.constructor as FrameworkClass;
  const shape = timeInData ? model.inputShape : model.inputShape.slice(1);
  const { dtype, device } = placementOf(model);
  // A generator of its own: the numbers of the caller's stay as they would be.
  const generator = new Generator({ seed: 0 });
  const x = tidy(() => rand([batchSize, ...shape], { generator }).to({ dtype, device }));
  const y = tidy(() =>
    randint(0, model.outputShape[0]!, [batchSize], { dtype: 'int64', generator }).to(device),
  );
  generator.dispose();
  return { x, y };
}

/**
 * Measures by doing: builds the network and evaluates and trains on a random batch. Bytes are the allocator's; what
 * libraries below libtorch take for themselves is not among them. Begins a new measurement of `memory().peakBytes`.
 */
export function measureMemory(question: MemoryQuestion): ModelMemory {
  const before = memory();
  const model = question.build();
  try {
    const evaluation = evaluationOf(model, question, before);
    resetNet(model);
    return { training: trainingOf(model, question, before), evaluation };
  } finally {
    resetNet(model);
    for (const owned of [...model.parameters(), ...model.buffers()]) owned.dispose();
  }
}

function evaluationOf(model: SNN, question: MemoryQuestion, before: MemoryReport): StepMemory {
  const { framework, batchSize } = question;
  using scope = new Scope();
  model.eval();
  resetPeakMemory();
  const { x, y } = scope.run(() => randomBatch(model, framework, batchSize));
  const loaded = since(before);
  scope.run(() => noGrad(() => judge(framework, framework.forward(model, x), y)));
  const done = since(before);
  return withWorkspace({
    ...persistent(done),
    gradients: 0,
    optimizer: 0,
    batch: loaded.loose,
    activations: done.loose - loaded.loose,
    peak: done.peak,
  });
}

function trainingOf(model: SNN, question: MemoryQuestion, before: MemoryReport): StepMemory | null {
  const { framework, batchSize } = question;
  if (question.optimizer === null || framework.loss === null) return null;
  model.train();
  const { optimizer } = question.optimizer.create(model.parameters());
  const step = (): StepMemory => {
    using scope = new Scope();
    optimizer.zeroGrad();
    resetNet(model);
    resetPeakMemory();
    const { x, y } = scope.run(() => randomBatch(model, framework, batchSize));
    const loaded = since(before);
    const { loss } = scope.run(() => enableGrad(() => judge(framework, framework.forward(model, x), y)));
    const forward = since(before);
    loss!.backward();
    const backward = since(before);
    optimizer.step();
    const done = since(before);
    return withWorkspace({
      ...persistent(done),
      gradients: backward.gradients,
      optimizer: done.optimizer,
      batch: loaded.loose,
      activations: forward.loose - loaded.loose,
      peak: done.peak,
    });
  };
  try {
    step();
    return step();
  } finally {
    optimizer.zeroGrad();
    optimizer.dispose();
  }
}

interface Change {
  readonly parameters: number;
  readonly buffers: number;
  readonly states: number;
  readonly optimizer: number;
  readonly gradients: number;
  /** Of scopes and graphs. */
  readonly loose: number;
  readonly peak: number;
}

function persistent({
  parameters,
  buffers,
  states,
}: Change): Pick<Change, 'parameters' | 'buffers' | 'states'> {
  return { parameters, buffers, states };
}

function since(before: MemoryReport): Change {
  const now = memory();
  const change = (owner: keyof MemoryReport['owners']): number =>
    now.owners[owner].bytes - before.owners[owner].bytes;
  return {
    parameters: change('parameters'),
    buffers: change('buffers'),
    states: change('states'),
    optimizer: change('optimizer'),
    gradients: change('gradients'),
    loose: change('scopes') + change('graphs'),
    peak: now.peakBytes - before.bytes,
  };
}
