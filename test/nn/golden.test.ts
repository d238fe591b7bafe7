import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as nn from '../../lib/nn/index.js';
import { type DType, manualSeed, type Tensor, tensor, zeros } from '../../lib/tensor/index.js';
import { difference, golden, shaped } from './helpers.js';

type Values = Readonly<Record<string, readonly number[]>>;

interface Golden {
  readonly constructed: readonly {
    readonly layer: string;
    readonly args: readonly unknown[];
    readonly options: object;
    readonly weight: readonly number[];
    readonly bias: readonly number[] | null;
  }[];
  readonly functions: readonly {
    readonly fn: string;
    readonly args: readonly unknown[];
    readonly shape: readonly number[];
    readonly values: readonly number[];
  }[];
  readonly layers: readonly LayerCase[];
  readonly losses: readonly LossCase[];
}

interface LayerCase {
  readonly layer: string;
  readonly args: readonly unknown[];
  readonly options: object;
  readonly train: boolean;
  readonly mode: nn.StepMode;
  readonly calls: number;
  readonly state: Values;
  readonly shape: readonly number[];
  readonly x: readonly number[];
  readonly gy: readonly number[];
  readonly outShape: readonly number[];
  readonly y: readonly number[];
  readonly gx: readonly number[];
  readonly grads: Values;
  readonly after: Values;
}

interface LossCase {
  readonly loss: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly shape: readonly number[];
  readonly x: readonly number[];
  readonly target: readonly number[];
  readonly targetShape: readonly number[];
  readonly targetDtype: DType;
  readonly y: readonly number[];
  readonly gx: readonly number[];
}

const { constructed, functions, layers, losses } = golden<Golden>('nn.json');
const classes = nn as unknown as Record<string, new (...args: unknown[]) => nn.Layer>;

function make(name: string, ...args: unknown[]): nn.Layer {
  const layer = classes[name];
  assert.ok(layer, `no class ${name}`);
  return new layer(...args);
}

for (const { layer, args, options, weight, bias } of constructed) {
  test(`${layer}(${JSON.stringify(args)}, ${JSON.stringify(options)}) starts with PyTorch's numbers`, () => {
    manualSeed(7);
    const made = make(layer, ...args, options) as nn.Linear;
    assert.equal(difference(made.weight, weight), 0);
    assert.equal(made.bias === null, bias === null);
    if (bias !== null) assert.equal(difference(made.bias, bias), 0);
  });
}

for (const { fn, args, shape, values } of functions) {
  test(`init.${fn}(${JSON.stringify(args)}) over [${shape}] gives PyTorch's numbers`, () => {
    manualSeed(11);
    const fill = (nn.init as unknown as Record<string, (...args: unknown[]) => Tensor>)[fn];
    assert.ok(fill, `no initialiser ${fn}`);
    assert.ok(difference(fill(zeros(shape), ...args), values) < 1e-7);
  });
}

function stateTensors(layer: nn.Layer, state: Values): Record<string, Tensor> {
  const own = layer.stateDict();
  const entries = Object.entries(state).map(
    ([name, values]) => [name, shaped(values, own[name]?.shape ?? [])] as const,
  );
  return Object.fromEntries(entries);
}

for (const [index, entry] of layers.entries()) {
  test(`layer ${index}: ${entry.layer} in step mode ${entry.mode} equals PyTorch's`, () => {
    const layer = make(entry.layer, ...entry.args, { ...entry.options, stepMode: entry.mode }).to('float64');
    assert.deepEqual(Object.keys(layer.stateDict()), Object.keys(entry.state));
    layer.loadStateDict(stateTensors(layer, entry.state));
    layer.train(entry.train);
    const x = shaped(entry.x, entry.shape);
    x.requiresGrad = true;
    const y = layer.forward(x);
    assert.deepEqual(y.shape, entry.outShape);
    assert.ok(difference(y, entry.y) < 1e-12, 'output');
    y.backward(shaped(entry.gy, entry.outShape));
    assert.ok(difference(x.grad, entry.gx) < 1e-12, 'input gradient');
    for (const [name, parameter] of layer.namedParameters()) {
      assert.ok(difference(parameter.grad, entry.grads[name] ?? []) < 1e-12, `gradient of ${name}`);
    }
    for (let call = 1; call < entry.calls; call++) layer.forward(x);
    for (const [name, value] of Object.entries(layer.stateDict())) {
      assert.ok(difference(value, entry.after[name] ?? []) < 1e-12, `${name} afterwards`);
    }
  });
}

for (const [index, entry] of losses.entries()) {
  test(`loss ${index}: ${entry.loss}(${JSON.stringify(entry.options)}) equals PyTorch's`, () => {
    const { weight, ...rest } = entry.options;
    const options = weight === undefined ? rest : { ...rest, weight: shaped(weight as number[], [3]) };
    const loss = new (nn as unknown as Record<string, new (options: object) => nn.MSELoss>)[entry.loss]!(
      options,
    );
    const x = shaped(entry.x, entry.shape);
    x.requiresGrad = true;
    const target =
      entry.targetDtype === 'int64'
        ? tensor(BigInt64Array.from(entry.target.map(BigInt)), { shape: entry.targetShape })
        : shaped(entry.target, entry.targetShape);
    const y = loss.forward(x, target);
    assert.ok(difference(y, entry.y) < 1e-12);
    y.sum().backward();
    assert.ok(difference(x.grad, entry.gx) < 1e-12);
  });
}
