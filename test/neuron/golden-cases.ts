import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BaseNode, ParametricLIFNode } from '../../lib/neuron/index.js';
import { SNN } from '../../lib/snn.js';
import { type Device, type DType, noGrad, stack, type Tensor, tensor } from '../../lib/tensor/index.js';
import { golden } from '../nn/helpers.js';
import { largestDifference } from '../tensor/helpers.js';

type Matrix = readonly (readonly number[])[];

interface Case {
  readonly neuron: string;
  readonly kwargs: Readonly<Record<string, unknown>>;
  readonly surrogate: readonly [string, Readonly<Record<string, number>>];
  readonly x: Matrix;
  readonly gs: Matrix;
  readonly gstate: { readonly v: readonly number[] };
  readonly init: { readonly v: readonly number[] };
  readonly out: Matrix;
  readonly state: { readonly v: readonly number[] };
  readonly gx: Matrix;
  readonly ginit: { readonly v: readonly number[] };
  readonly params: { readonly w?: number };
  readonly gparams: { readonly w?: number };
}

const { cases } = golden<{ readonly cases: readonly Case[] }>('neurons.json');

// As a user gets a neuron: through a configuration in the established names.
function configured(entry: Case, stepMode: 's' | 'm'): BaseNode {
  const { kwargs, surrogate, neuron } = entry;
  const params = {
    ...kwargs,
    v_reset: kwargs['v_reset'] ?? (kwargs['v_reset'] === null ? false : 0),
    surrogate_function: { kind: surrogate[0], params: surrogate[1] },
    step_mode: stepMode,
  };
  const net = new SNN({ inputShape: [6], outputShape: [2], timesteps: 7, neuron: { kind: neuron, params } });
  const node = net.createNeuron();
  assert.ok(node instanceof BaseNode);
  return node;
}

interface Outcome {
  readonly out: Tensor;
  readonly v: Tensor;
  readonly gx: Tensor;
  readonly gv: Tensor;
  readonly gw: Tensor | null;
}

function run(entry: Case, stepMode: 's' | 'm', dtype: DType, device: Device): Outcome {
  const make = (values: readonly number[] | Matrix): Tensor =>
    tensor(values as readonly number[], { dtype: 'float64' }).to({ dtype, device });
  const node = configured(entry, stepMode);
  node.to({ dtype, device });
  // The table's w has more digits than a float32.
  if (node instanceof ParametricLIFNode) noGrad(() => node.w.fill_(entry.params.w as number));
  const [x, v0] = [make(entry.x), make(entry.init.v)];
  x.requiresGrad = true;
  v0.requiresGrad = true;
  node.v = v0;
  const out = stepMode === 'm' ? node.forward(x) : stack(x.unbind(0).map((step) => node.forward(step)));
  const v = node.v as Tensor;
  out
    .mul(make(entry.gs))
    .sum()
    .add(v.mul(make(entry.gstate.v)).sum())
    .backward();
  return {
    out,
    v,
    gx: x.grad as Tensor,
    gv: v0.grad as Tensor,
    gw: node instanceof ParametricLIFNode ? node.w.grad : null,
  };
}

function differences(outcome: Outcome, entry: Case): Readonly<Record<string, number>> {
  const flat = (values: Tensor): Float64Array => values.detach().to('float64').toTypedArray() as Float64Array;
  return {
    out: largestDifference(flat(outcome.out), entry.out.flat()),
    v: largestDifference(flat(outcome.v), entry.state.v),
    gx: largestDifference(flat(outcome.gx), entry.gx.flat()),
    gv: largestDifference(flat(outcome.gv), entry.ginit.v),
    ...(outcome.gw === null ? {} : { gw: largestDifference(flat(outcome.gw), [entry.gparams.w as number]) }),
  };
}

/** Registers the tests of the golden cases on a device. @param skip why they cannot run, or false */
export function goldenTests(device: Device, skip: string | false): void {
  test('the golden table has every case of IF, LIF and PLIF', { skip }, () => {
    assert.equal(cases.length, 77);
    assert.equal(cases.filter(({ gparams }) => gparams.w !== undefined).length, 24);
  });

  for (const [index, entry] of cases.entries()) {
    const name = `${index}: ${entry.neuron} ${JSON.stringify(entry.kwargs)} ${entry.surrogate[0]}`;
    for (const stepMode of ['m', 's'] as const) {
      test(`${name}, step mode ${stepMode}, equals the original`, { skip }, () => {
        const found = differences(run(entry, stepMode, 'float64', device), entry);
        assert.equal(found['out'], 0, 'spikes');
        for (const [what, value] of Object.entries(found)) assert.ok(value < 1e-9, `${what}: ${value}`);
      });
    }

    test(`${name}, float32, equals the original away from the threshold`, { skip }, () => {
      const found = differences(run(entry, 'm', 'float32', device), entry);
      // No membrane of the table comes so near its threshold that float32 flips a spike.
      assert.equal(found['out'], 0, 'spikes');
      for (const [what, value] of Object.entries(found)) assert.ok(value < 2e-5, `${what}: ${value}`);
    });
  }

  test('without gradients the same numbers come out', { skip }, () => {
    const entry = cases[0] as Case;
    const node = configured(entry, 'm');
    node.v = tensor(entry.init.v, { dtype: 'float64', device });
    const out = noGrad(() => node.forward(tensor(entry.x as number[][], { dtype: 'float64', device })));
    assert.deepEqual(out.tolist(), entry.out);
    assert.equal(out.requiresGrad, false);
  });
}
