import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../lib/errors.js';
import { BaseNode, IFNode, LIFNode } from '../lib/neuron/index.js';
import { Linear, Module, StepModule } from '../lib/nn/index.js';
import { parameter, positive, resolveParameters } from '../lib/parameters.js';
import { neurons, registerNeuron, resolveNeuron, SNN, type SNNOptions } from '../lib/snn.js';
import { ATan, Sigmoid } from '../lib/surrogate/index.js';
import { ones, type Tensor } from '../lib/tensor/index.js';

const BASE = { inputShape: [8, 8, 1], outputShape: [10], timesteps: 4, neuron: { kind: 'LIFNode' } };

function net(neuron: unknown, rest: object = {}): SNN {
  return new SNN({ ...BASE, ...rest, neuron } as SNNOptions);
}

test('a network has its shapes, time steps and step mode', () => {
  const snn = new SNN(BASE);
  assert.ok(snn instanceof StepModule && snn instanceof Module);
  assert.deepEqual(snn.inputShape, [4, 8, 8, 1]);
  assert.deepEqual(snn.outputShape, [10]);
  assert.deepEqual([snn.timesteps, snn.stepMode, snn.isSnn], [4, 's', true]);
  assert.throws(() => (snn as Module).forward(), /SNN has no forward/);
  const snake = { input_shape: [3], output_shape: [2], timesteps: 1, neuron: { kind: 'IFNode' } };
  assert.deepEqual(new SNN(snake as unknown as SNNOptions).inputShape, [1, 3]);
});

test('createNeuron gives a fresh neuron of the configured kind and step mode', () => {
  const params = {
    tau: 3,
    v_threshold: 2,
    v_reset: false,
    detach_reset: true,
    decay_input: false,
    step_mode: 'm',
  };
  const snn = net({ kind: 'LIFNode', params });
  assert.equal(snn.stepMode, 'm');
  const [a, b] = [snn.createNeuron(), snn.createNeuron()] as [LIFNode, LIFNode];
  assert.ok(a instanceof LIFNode);
  assert.notEqual(a, b);
  assert.notEqual(a.surrogateFunction, b.surrogateFunction);
  assert.deepEqual(
    [a.tau, a.vThreshold, a.vReset, a.detachReset, a.decayInput, a.stepMode],
    [3, 2, null, true, false, 'm'],
  );
  assert.equal((net({ kind: 'IFNode', params: { vReset: null } }).createNeuron() as IFNode).vReset, null);
  assert.equal((net({ kind: 'IFNode' }).createNeuron() as IFNode).vReset, 0);
  assert.equal((net({ kind: 'IFNode', params: { v_reset: 1 } }).createNeuron() as IFNode).vReset, 1);
});

test('a surrogate can be configured, and is new for each neuron', () => {
  const snn = net({ kind: 'IFNode', params: { surrogate_function: { kind: 'ATan', params: { alpha: 3 } } } });
  const [a, b] = [snn.createNeuron(), snn.createNeuron()] as [IFNode, IFNode];
  assert.ok(a.surrogateFunction instanceof ATan);
  assert.equal((a.surrogateFunction as ATan).alpha, 3);
  assert.notEqual(a.surrogateFunction, b.surrogateFunction);
  const named = net({ kind: 'IFNode', params: { surrogateFunction: 'ATan' } }).createNeuron() as IFNode;
  assert.ok(named.surrogateFunction instanceof ATan);
  assert.ok((net({ kind: 'IFNode' }).createNeuron() as IFNode).surrogateFunction instanceof Sigmoid);
});

const wrong: readonly [string, unknown, readonly (string | number)[], RegExp][] = [
  ['no options', undefined, [], /expected a table, got nothing/],
  ['no input shape', { inputShape: undefined }, ['inputShape'], /got nothing/],
  ['an empty input shape', { inputShape: [] }, ['inputShape'], /got an empty list/],
  ['a zero in a shape', { inputShape: [8, 0] }, ['inputShape', 1], /expected an integer >= 1, got 0/],
  [
    'a number as shape',
    { outputShape: 10 },
    ['outputShape'],
    /expected a non-empty list of integers >= 1, got 10/,
  ],
  ['no time steps', { timesteps: 0 }, ['timesteps'], /expected an integer >= 1, got 0/],
  ['half a time step', { timesteps: 1.5 }, ['timesteps'], /got 1.5/],
  ['an unknown option', { timestep: 4 }, ['timestep'], /nearest: timesteps/],
  ['no neuron', { neuron: undefined }, ['neuron'], /expected a table, got nothing/],
  ['a null neuron', { neuron: null }, ['neuron'], /expected a table, got null/],
  ['a neuron that is no table', { neuron: 'LIFNode' }, ['neuron'], /expected a table, got "LIFNode"/],
  [
    'an empty neuron',
    { neuron: {} },
    ['neuron', 'kind'],
    /a neuron kind: one of IFNode, LIFNode.*got nothing/,
  ],
  ['a kind that is no string', { neuron: { kind: 3 } }, ['neuron', 'kind'], /got 3/],
  ['an unknown kind', { neuron: { kind: 'LifNode' } }, ['neuron', 'kind'], /nearest: LIFNode.*got "LifNode"/],
  ['a helper as kind', { neuron: { kind: 'BaseNode' } }, ['neuron', 'kind'], /got "BaseNode"/],
  ['a prototype member as kind', { neuron: { kind: 'toString' } }, ['neuron', 'kind'], /got "toString"/],
  [
    'an unknown key beside kind',
    { neuron: { kind: 'IFNode', tau: 2 } },
    ['neuron', 'tau'],
    /unknown key "tau"/,
  ],
  [
    'params that are no table',
    { neuron: { kind: 'IFNode', params: [1] } },
    ['neuron', 'params'],
    /got a list/,
  ],
  ['an unknown parameter', lif({ taau: 2 }), ['neuron', 'params', 'taau'], /nearest: tau/],
  [
    'a parameter of another neuron',
    { neuron: { kind: 'IFNode', params: { tau: 2 } } },
    ['neuron', 'params', 'tau'],
    /./,
  ],
  ['tau of 1', lif({ tau: 1 }), ['neuron', 'params', 'tau'], /expected a number > 1, got 1/],
  ['tau as text', lif({ tau: '2' }), ['neuron', 'params', 'tau'], /got "2"/],
  ['an infinite threshold', lif({ v_threshold: Infinity }), ['neuron', 'params', 'v_threshold'], /finite/],
  ['a threshold of true', lif({ v_threshold: true }), ['neuron', 'params', 'v_threshold'], /got true/],
  [
    'a reset of true',
    lif({ v_reset: true }),
    ['neuron', 'params', 'v_reset'],
    /false for the soft reset, got true/,
  ],
  ['a reset of NaN', lif({ vReset: NaN }), ['neuron', 'params', 'vReset'], /got NaN/],
  [
    'both spellings',
    lif({ v_reset: 0, vReset: 0 }),
    ['neuron', 'params', 'vReset'],
    /both v_reset and vReset/,
  ],
  [
    'a step mode that is no string',
    lif({ step_mode: 1 }),
    ['neuron', 'params', 'step_mode'],
    /"s", "m", got 1/,
  ],
  ['an unknown step mode', lif({ step_mode: 'x' }), ['neuron', 'params', 'step_mode'], /"s", "m", got "x"/],
  [
    'a detach that is no boolean',
    lif({ detach_reset: 1 }),
    ['neuron', 'params', 'detach_reset'],
    /true or false/,
  ],
  [
    'an unknown surrogate',
    lif({ surrogate_function: 'Relu' }),
    ['neuron', 'params', 'surrogate_function'],
    /a surrogate/,
  ],
  [
    'a wrong alpha',
    lif({ surrogate_function: { kind: 'ATan', params: { alpha: '2' } } }),
    ['neuron', 'params', 'surrogate_function', 'params', 'alpha'],
    /expected a number > 0, got "2"/,
  ],
];

function lif(params: object): object {
  return { neuron: { kind: 'LIFNode', params } };
}

for (const [name, change, path, message] of wrong) {
  test(`a configuration error: ${name}`, () => {
    const options = change === undefined ? undefined : { ...BASE, ...(change as object) };
    assert.throws(
      () => new SNN(options as unknown as SNNOptions),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError, String(error));
        assert.deepEqual(error.path, path);
        assert.match(error.message, message);
        return true;
      },
    );
  });
}

test('standard neurons refuse quantization parameters', () => {
  const snn = new SNN(BASE);
  assert.throws(
    () => snn.createNeuron({ bits: 8 }),
    /quantParams: expected nothing, since LIFNode is not quantized/,
  );
  assert.ok(snn.createNeuron(null) instanceof LIFNode);
});

test('users register neurons of their own; existing names and other things are errors', () => {
  class GainedLIFNode extends LIFNode {
    static override readonly parameters: typeof LIFNode.parameters = {
      ...LIFNode.parameters,
      gain: parameter('gain', positive().default(1)),
    };
    readonly gain: number;
    constructor(options: object = {}) {
      const { gain, ...rest } = resolveParameters<{ gain: number }>(GainedLIFNode.parameters, options);
      super(rest);
      this.gain = gain;
    }
    override forward(x: Tensor): Tensor {
      return super.forward(x.mul(this.gain));
    }
  }
  registerNeuron('GainedLIFNode', GainedLIFNode);
  assert.ok(neurons.names().includes('GainedLIFNode'));
  const node = net({ kind: 'GainedLIFNode', params: { gain: 4, tau: 2 } }).createNeuron();
  assert.deepEqual(node.forward(ones([2])).tolist(), [1, 1]);
  assert.throws(() => net({ kind: 'GainedLIFNode', params: { gain: 0 } }), /neuron\.params\.gain/);
  assert.throws(() => registerNeuron('LIFNode', GainedLIFNode), ConfigError);
  assert.throws(() => registerNeuron('GainedLIFNode', GainedLIFNode), ConfigError);
  assert.throws(() => registerNeuron('Other', {} as typeof LIFNode), ConfigError);
});

test('quantParams reach a class that declares them, and only when given', () => {
  const seen: unknown[] = [];
  class Quantized extends IFNode {
    static override readonly parameters: typeof IFNode.parameters = {
      ...IFNode.parameters,
      quantParams: parameter('quant_params', positive().optional()),
    };
    constructor({ quantParams, ...rest }: { quantParams?: unknown }) {
      super(rest);
      seen.push(quantParams);
    }
  }
  registerNeuron('TestQuantized', Quantized);
  const snn = net({ kind: 'TestQuantized' });
  snn.createNeuron();
  snn.createNeuron(8);
  assert.deepEqual(seen, [undefined, 8]);
});

test('a class gets its options in camelCase; one without a step mode leaves it to the network', () => {
  class Plain extends Module {
    static readonly parameters: typeof IFNode.parameters = {
      firstGain: parameter('gain_1', positive().default(1)),
    };
    readonly given: unknown;
    constructor(options: object) {
      super();
      this.given = options;
    }
    override forward(x: Tensor): Tensor {
      return x;
    }
  }
  registerNeuron('TestPlain', Plain);
  const snn = net({ kind: 'TestPlain', params: { step_mode: 'm', gain_1: 3 } });
  assert.equal(snn.stepMode, 'm');
  assert.deepEqual((snn.createNeuron() as unknown as Plain).given, { firstGain: 3 });
});

test('subclasses add parameters and layers', () => {
  class Net extends SNN {
    readonly fc: Linear;
    readonly neuron: Module & { forward(x: Tensor): Tensor };
    constructor(options: SNNOptions & { readonly hidden: number }) {
      super(options);
      this.fc = new Linear(4, options.hidden, { stepMode: this.stepMode });
      this.neuron = this.createNeuron();
    }
    override forward(x: Tensor): Tensor {
      return this.neuron.forward(this.fc.forward(x));
    }
  }
  const made = new Net({ ...BASE, hidden: 3 });
  assert.deepEqual(Object.keys(made.stateDict()), ['fc.weight', 'fc.bias']);
  assert.deepEqual(made.forward(ones([2, 4])).shape, [2, 3]);
  assert.ok(made.neuron instanceof BaseNode);
});

test('resolveNeuron prefixes the path it is given', () => {
  assert.throws(
    () => resolveNeuron({ kind: 'LIFNode', params: { tau: 0 } }, ['model', 0, 'params', 'neuron']),
    {
      path: ['model', 0, 'params', 'neuron', 'params', 'tau'],
    },
  );
});
