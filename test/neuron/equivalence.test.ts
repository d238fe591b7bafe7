// A network trained through modules and fused kernels, against the same network written with a loop of libtorch's
// own operators whose gradients come from autograd alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resetNet } from '../../lib/layer/index.js';
import { type BaseNode, IFNode, LIFNode, type LIFNodeOptions } from '../../lib/neuron/index.js';
import { BatchNorm1d, CrossEntropyLoss, Linear, Sequential } from '../../lib/nn/index.js';
import {
  crossEntropyLoss,
  manualSeed,
  noGrad,
  ones,
  randint,
  randn,
  stack,
  type Tensor,
  zeros,
} from '../../lib/tensor/index.js';

const [STEPS, T, BATCH, INPUTS, HIDDEN, CLASSES] = [20, 6, 12, 16, 24, 4];
const RATE = 0.5;

interface Config {
  readonly kind: 'IFNode' | 'LIFNode';
  readonly options: LIFNodeOptions;
  readonly surrogate: 'Sigmoid' | 'ATan';
  readonly alpha: number;
}

/** What one training step leaves: loss, then gradient and value of each parameter. */
type Trace = readonly Tensor[];

interface Trained {
  readonly traces: readonly Trace[];
  /** Share of neurons that fire, for each neuron layer and step. */
  readonly rates: readonly number[];
}

interface Data {
  readonly weights: readonly Tensor[];
  readonly batches: readonly { readonly x: Tensor; readonly y: Tensor }[];
}

function makeData(): Data {
  manualSeed(5);
  const wide = { dtype: 'float64' } as const;
  return {
    weights: [
      randn([HIDDEN, INPUTS], wide).mul(0.4),
      ones([HIDDEN], wide).mul(0.8),
      randn([HIDDEN], wide).mul(0.2).add(0.1),
      randn([CLASSES, HIDDEN], wide).mul(0.5),
      ones([CLASSES], wide).mul(0.4),
    ],
    batches: Array.from({ length: STEPS }, () => ({
      x: randn([T, BATCH, INPUTS], wide),
      y: randint(0, CLASSES, [BATCH], { dtype: 'int64' }),
    })),
  };
}

function snapshot(loss: Tensor, parameters: readonly Tensor[]): Trace {
  const copies = parameters.flatMap((w) => [(w.grad as Tensor).clone(), w.detach().clone()]);
  return [loss.detach(), ...copies];
}

function descend(parameters: readonly Tensor[]): void {
  noGrad(() => {
    for (const w of parameters) w.sub_((w.grad as Tensor).mul(RATE));
  });
}

function withModules(config: Config, { weights, batches }: Data): Trained {
  const neuronClass = config.kind === 'IFNode' ? IFNode : LIFNode;
  const surrogateFunction = { kind: config.surrogate, params: { alpha: config.alpha } };
  const neuron = (): BaseNode => new neuronClass({ ...config.options, surrogateFunction, stepMode: 'm' });
  const net = new Sequential(
    // No bias: its gradient under a normalisation is nothing but rounding.
    new Linear(INPUTS, HIDDEN, { stepMode: 'm', bias: false }),
    new BatchNorm1d(HIDDEN, { stepMode: 'm' }),
    neuron(),
    new Linear(HIDDEN, CLASSES, { stepMode: 'm' }),
    neuron(),
  ).to('float64');
  const parameters = [...net.parameters()];
  noGrad(() => {
    for (const [i, parameter] of parameters.entries()) parameter.copy_(weights[i] as Tensor);
  });
  const rates: number[] = [];
  for (const index of [2, 4]) {
    net.at(index)?.registerForwardHook((_module, _inputs, out) => {
      rates.push((out as Tensor).mean().item() as number);
    });
  }
  const lossOf = new CrossEntropyLoss();
  const traces = batches.map(({ x, y }) => {
    resetNet(net);
    net.zeroGrad();
    const loss = lossOf.forward(net.forward(x).mean(0), y);
    loss.backward();
    descend(parameters);
    return snapshot(loss, parameters);
  });
  return { traces, rates };
}

// Θ(u) forward, the primitive's derivative backward. Exact: where u >= 0 the primitive is in [1/2, 1].
function spike(u: Tensor, { surrogate, alpha }: Config): Tensor {
  const primitive =
    surrogate === 'Sigmoid'
      ? u.mul(alpha).sigmoid()
      : u
          .mul((Math.PI / 2) * alpha)
          .atan()
          .div(Math.PI)
          .add(0.5);
  return primitive.add(u.ge(0).to('float64').sub(primitive).detach());
}

function neuronLoop(xSeq: Tensor, config: Config): Tensor {
  const { tau = 2, decayInput = true, vThreshold = 1, vReset = 0, detachReset = false } = config.options;
  const rest = vReset === null || vReset === false ? 0 : vReset;
  let v = zeros(xSeq.shape.slice(1), { dtype: 'float64' }).add(rest);
  const spikes = xSeq.unbind(0).map((x) => {
    const leak = v.sub(rest);
    const h =
      config.kind === 'IFNode'
        ? v.add(x)
        : decayInput
          ? v.add(x.sub(leak).div(tau))
          : v.sub(leak.div(tau)).add(x);
    const s = spike(h.sub(vThreshold), config);
    const r = detachReset ? s.detach() : s;
    const soft = vReset === null || vReset === false;
    v = soft ? h.sub(r.mul(vThreshold)) : r.mul(rest).add(r.neg().add(1).mul(h));
    return s;
  });
  return stack(spikes);
}

function withLoop(config: Config, { weights, batches }: Data): Trained {
  const parameters = weights.map((w) => {
    const leaf = w.clone();
    leaf.requiresGrad = true;
    return leaf;
  });
  const [w1, scale, shift, w2, b2] = parameters as [Tensor, Tensor, Tensor, Tensor, Tensor];
  const traces = batches.map(({ x, y }) => {
    for (const w of parameters) w.grad = null;
    const charge = x.matmul(w1.t());
    const mean = charge.mean([0, 1]);
    const centred = charge.sub(mean);
    const variance = centred.mul(centred).mean([0, 1]);
    const normal = centred.div(variance.add(1e-5).sqrt()).mul(scale).add(shift);
    const hidden = neuronLoop(normal, config);
    const out = neuronLoop(hidden.matmul(w2.t()).add(b2), config);
    const loss = crossEntropyLoss(out.mean(0), y);
    loss.backward();
    descend(parameters);
    return snapshot(loss, parameters);
  });
  return { traces, rates: [] };
}

/** The largest difference over all steps, relative to the largest value of each tensor. */
function worst(a: Trained, b: Trained): number {
  return Math.max(
    ...a.traces.flatMap((trace, step) =>
      trace.map((value, i) => {
        const other = b.traces[step]?.[i] as Tensor;
        const size = Math.max(other.abs().max().item() as number, 1e-12);
        return (value.sub(other).abs().max().item() as number) / size;
      }),
    ),
  );
}

const configs: readonly Config[] = [
  { kind: 'LIFNode', options: { vThreshold: 0.5 }, surrogate: 'Sigmoid', alpha: 4 },
  {
    kind: 'LIFNode',
    options: { vThreshold: 0.5, vReset: -0.1, tau: 1.5, detachReset: true },
    surrogate: 'ATan',
    alpha: 2,
  },
  { kind: 'LIFNode', options: { vReset: null, decayInput: false }, surrogate: 'Sigmoid', alpha: 3 },
  { kind: 'IFNode', options: { vReset: null, vThreshold: 1.2 }, surrogate: 'ATan', alpha: 2 },
];

for (const config of configs) {
  const { kind, options, surrogate, alpha } = config;
  test(`${STEPS} steps of training equal a loop of operators: ${kind} ${JSON.stringify(options)} ${surrogate}`, () => {
    const data = makeData();
    const expected = withLoop(config, data);
    const trained = withModules(config, data);
    assert.equal(trained.traces.length, STEPS);
    assert.equal(trained.traces[0]?.length, 1 + 2 * data.weights.length);
    assert.equal(trained.rates.length, 2 * STEPS);
    for (const rate of trained.rates) assert.ok(rate >= 0.05 && rate <= 0.5, `${rate} of the neurons fire`);
    assert.ok(worst(trained, expected) <= 1e-9, `relative difference ${worst(trained, expected)}`);
    // The comparison sees what it should: with one of these changed it fails.
    const detached = { ...config, options: { ...options, detachReset: !options.detachReset } };
    assert.ok(worst(withModules(detached, data), expected) > 1e-3, 'detachReset');
    const steeper = { ...config, alpha: alpha * 1.01 };
    assert.ok(worst(withModules(steeper, data), expected) > 1e-4, 'alpha');
  });
}
