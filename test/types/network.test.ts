// Modules, neurons and surrogates as a user writes them down: each wrong use is an error of the compiler and at run time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expectTypeOf } from 'expect-type';
import {
  ATan,
  BatchNorm2d,
  type Buffer,
  ConfigError,
  type ConfigPath,
  Conv2d,
  Dropout,
  type HookHandle,
  IFNode,
  type Layer,
  LIFNode,
  type LIFNodeOptions,
  Linear,
  type LoadResult,
  MaxPool2d,
  Module,
  ModuleDict,
  ModuleList,
  type NeuronClass,
  neurons,
  ones,
  onesLike,
  Parameter,
  type ParameterTable,
  ParametricLIFNode,
  Registry,
  registerNeuron,
  registerSurrogate,
  resetNet,
  SCNN,
  Sequential,
  Sigmoid,
  SMLP,
  type SMLPOptions,
  SNN,
  type SNNOptions,
  type SourceLocation,
  type StateDict,
  type StepMode,
  Surrogate,
  type SurrogateClass,
  setStepMode,
  surrogates,
  type Tensor,
} from '../../lib/index.js';

const options: SNNOptions = {
  inputShape: [8],
  outputShape: [2],
  timesteps: 3,
  neuron: { kind: 'LIFNode', params: { tau: 2, surrogate_function: { kind: 'ATan', params: { alpha: 2 } } } },
};

class Net extends SNN {
  readonly fc: Linear = new Linear(8, 2);
  readonly neuron: Layer = this.createNeuron();
  readonly heads: Linear[] = [new Linear(2, 2, { bias: false })];

  override forward(x: Tensor): Tensor {
    return this.neuron.forward(this.fc.forward(x));
  }
}

test('the options of a network', () => {
  const net = new Net(options);
  expectTypeOf(net.inputShape).toEqualTypeOf<readonly number[]>();
  expectTypeOf(net.outputShape).toEqualTypeOf<readonly number[]>();
  expectTypeOf(net.timesteps).toEqualTypeOf<number>();
  expectTypeOf(net.stepMode).toEqualTypeOf<StepMode>();
  expectTypeOf(net.isSnn).toEqualTypeOf<true>();
  expectTypeOf(net.createNeuron()).toEqualTypeOf<Layer>();
  expectTypeOf(net.forward(ones([1, 8]))).toEqualTypeOf<Tensor>();
  const { neuron: _, ...withoutNeuron } = options;
  // @ts-expect-error the neuron is missing
  assert.throws(() => new Net(withoutNeuron), ConfigError);
  // @ts-expect-error a shape is a list
  assert.throws(() => new Net({ ...options, inputShape: 8 }), ConfigError);
  // @ts-expect-error a neuron is a kind and its params
  assert.throws(() => new Net({ ...options, neuron: 'LIFNode' }), ConfigError);
  const misspelt: SNNOptions = {
    ...options,
    // @ts-expect-error the name is timesteps
    timeSteps: 3,
  };
  assert.throws(() => new SNN(misspelt), ConfigError);
  const wrong: SNNOptions['neuron'] = {
    kind: 'LIFNode',
    // @ts-expect-error the name is params
    parameters: {},
  };
  assert.throws(() => new Net({ ...options, neuron: wrong }), ConfigError);
  // @ts-expect-error isSnn says what it is
  assert.throws(() => new Net({ ...options, neuron: { kind: 'LIFNode', params: 2 } }), ConfigError);
});

test('SMLP and SCNN take what SNN takes, and their own', () => {
  expectTypeOf<SMLPOptions>().toExtend<SNNOptions>();
  expectTypeOf(new SMLP({ ...options, units: [4] }).layers).toEqualTypeOf<ModuleDict<Layer>>();
  // @ts-expect-error units are missing
  assert.throws(() => new SMLP(options), ConfigError);
  // @ts-expect-error units are numbers
  assert.throws(() => new SMLP({ ...options, units: ['4'] }), ConfigError);
  const map = { filters: [2], kernelSizes: [3], paddings: [1], strides: [1], poolSizes: [0], fcUnits: [] };
  const { neuron, outputShape } = options;
  assert.ok(new SCNN({ ...map, inputShape: [8, 8, 1], outputShape, neuron, dims: 2 }));
  // @ts-expect-error there are one and two dimensions
  assert.throws(() => new SCNN({ ...map, inputShape: [8, 8, 1], outputShape, neuron, dims: 3 }), ConfigError);
});

test('neurons take their options in camelCase', () => {
  const node = new LIFNode({
    tau: 2,
    decayInput: true,
    vThreshold: 1,
    vReset: null,
    surrogateFunction: new ATan({ alpha: 2 }),
    detachReset: true,
    stepMode: 'm',
    backend: 'torch',
    storeVSeq: true,
  });
  expectTypeOf(node.v).toEqualTypeOf<number | Tensor>();
  expectTypeOf(node.vSeq).toEqualTypeOf<Tensor | null>();
  expectTypeOf(node.vReset).toEqualTypeOf<number | null>();
  expectTypeOf(node.vThreshold).toEqualTypeOf<number | Tensor>();
  expectTypeOf(node.surrogateFunction).toEqualTypeOf<Surrogate>();
  expectTypeOf(node.forward).toEqualTypeOf<(x: Tensor) => Tensor>();
  node.v = 0.5;
  node.v = ones([2]);
  node.surrogateFunction = 'Sigmoid';
  node.surrogateFunction = { kind: 'ATan', params: { alpha: 3 } };
  node.reset();
  expectTypeOf<LIFNodeOptions['tau']>().toEqualTypeOf<number | Tensor | undefined>();
  expectTypeOf<LIFNode>().toExtend<Layer>();
  expectTypeOf(new ParametricLIFNode({ initTau: 2 }).w).toEqualTypeOf<Parameter>();
  assert.ok(new IFNode({ vReset: false, vThreshold: new Parameter(ones([2])) }));
  // @ts-expect-error an option of another name
  assert.throws(() => new LIFNode({ tua: 2 }), ConfigError);
  // @ts-expect-error a step mode is 's' or 'm'
  assert.throws(() => new LIFNode({ stepMode: 'x' }), ConfigError);
  // @ts-expect-error tau is a number
  assert.throws(() => new LIFNode({ tau: '2' }), ConfigError);
  // @ts-expect-error true is no reset
  assert.throws(() => new LIFNode({ vReset: true }), ConfigError);
  // @ts-expect-error a neuron of integrate-and-fire has no tau
  assert.throws(() => new IFNode({ tau: 2 }), ConfigError);
  // @ts-expect-error a state is a number or a tensor
  assert.throws(() => (node.v = '0'), TypeError);
  // @ts-expect-error the kept membranes are read only
  assert.throws(() => (node.vSeq = null), TypeError);
});

class Triangle extends Surrogate {
  static readonly parameters: ParameterTable = {};

  override derivative(u: Tensor): Tensor {
    return onesLike(u).sub(u.abs()).clampMin(0);
  }
}

class Tame extends LIFNode {}

test("surrogates and neurons of one's own", () => {
  expectTypeOf(new Sigmoid({ alpha: 4, spiking: true }).alpha).toEqualTypeOf<number>();
  // @ts-expect-error an option of another name
  assert.throws(() => new Sigmoid({ beta: 4 }), ConfigError);
  // @ts-expect-error the local gradient is missing
  class Nothing extends Surrogate {}
  assert.ok(Nothing);
  registerSurrogate('TypesTriangle', Triangle);
  registerNeuron('TypesTame', Tame);
  // @ts-expect-error a class, not an instance
  assert.throws(() => registerSurrogate('TypesInstance', new Triangle()), ConfigError);
  // @ts-expect-error a class without parameters
  assert.throws(() => registerNeuron('TypesNone', class extends Module {}), ConfigError);
  expectTypeOf(neurons).toEqualTypeOf<Registry<NeuronClass>>();
  expectTypeOf(surrogates.find('TypesTriangle', [])).toEqualTypeOf<SurrogateClass>();
  assert.ok(new LIFNode({ surrogateFunction: 'TypesTriangle' }));
  const numbers = new Registry<number>('number', { one: 1 });
  expectTypeOf(numbers.find('one', ['place'])).toEqualTypeOf<number>();
  expectTypeOf(numbers.names()).toEqualTypeOf<string[]>();
  // @ts-expect-error of another kind than the registry
  numbers.register('two', '2');
  assert.throws(() => numbers.find('three', []), ConfigError);
});

test('modules find their fields, and the compiler knows them', () => {
  const net = new Net(options);
  expectTypeOf(net.namedParameters()).toExtend<Iterable<[string, Parameter]>>();
  expectTypeOf(net.namedBuffers()).toExtend<Iterable<[string, Buffer]>>();
  expectTypeOf(net.fc.weight).toEqualTypeOf<Parameter>();
  expectTypeOf(net.fc.bias).toEqualTypeOf<Parameter | null>();
  expectTypeOf(net.stateDict()).toEqualTypeOf<StateDict>();
  expectTypeOf(net.loadStateDict(net.stateDict(), { strict: true })).toEqualTypeOf<LoadResult>();
  expectTypeOf(net.to('float64')).toEqualTypeOf<Net>();
  expectTypeOf(net.to({ dtype: 'float32', device: 'cpu' })).toEqualTypeOf<Net>();
  expectTypeOf(net.eval().train()).toEqualTypeOf<Net>();
  const handle = net.registerForwardHook((_module, _inputs, output) => output);
  expectTypeOf(handle).toEqualTypeOf<HookHandle>();
  handle.remove();
  assert.deepEqual(
    [...net.namedParameters()].map(([name]) => name),
    ['fc.weight', 'fc.bias', 'heads.0.weight'],
  );
  // @ts-expect-error weights have a floating-point dtype
  assert.throws(() => net.to('float'), Error);
  // @ts-expect-error a buffer is a tensor
  assert.throws(() => net.registerBuffer('mean', 1), TypeError);
  setStepMode(net, 'm');
  resetNet(net);
  // @ts-expect-error a step mode is 's' or 'm'
  assert.throws(() => setStepMode(net, 'multi'), ConfigError);
});

test('layers and containers', () => {
  const layers = new Sequential(
    new Conv2d(1, 2, 3, { padding: 'same', paddingMode: 'reflect', bias: false }),
    new BatchNorm2d(2, { momentum: null }),
    new MaxPool2d([2, 2], { stride: 2 }),
    new Dropout(0.1, { stepMode: 's' }),
  );
  expectTypeOf(layers.at(0)).toEqualTypeOf<Layer | undefined>();
  expectTypeOf(new ModuleList([new Linear(1, 1)]).at(0)).toEqualTypeOf<Linear | undefined>();
  expectTypeOf(new ModuleDict({ fc: new Linear(1, 1) }).get('fc')).toEqualTypeOf<Linear | undefined>();
  // @ts-expect-error a container holds layers
  assert.throws(() => new Sequential('relu'), TypeError);
  // @ts-expect-error an option of another name
  assert.throws(() => new Linear(1, 1, { biases: false }), TypeError);
  // @ts-expect-error no such padding
  assert.throws(() => new Conv2d(1, 1, 3, { paddingMode: 'mirror' }), TypeError);
  // @ts-expect-error the number of outputs is missing
  assert.throws(() => new Linear(1), TypeError);
});

test('a ConfigError says where, what was expected and what was found', () => {
  const error = new ConfigError(['model', 0, 'epochs'], 'an integer', '"x"');
  expectTypeOf(error.path).toEqualTypeOf<ConfigPath>();
  expectTypeOf(error.expected).toEqualTypeOf<string>();
  expectTypeOf(error.got).toEqualTypeOf<string>();
  expectTypeOf(error.location).toEqualTypeOf<SourceLocation | undefined>();
  assert.equal(error.code, 'ERR_SPIKENODE_CONFIG');
  assert.equal(error.message, 'model.0.epochs: expected an integer, got "x"');
});
