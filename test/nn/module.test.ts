import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { DTypeError, ShapeError } from '../../lib/errors.js';
import {
  BatchNorm1d,
  Buffer,
  Linear,
  Module,
  ModuleDict,
  ModuleList,
  Parameter,
  Sequential,
} from '../../lib/nn/index.js';
import { memory, ones, type Tensor, tensor, tidy, zeros } from '../../lib/tensor/index.js';
import { collectGarbage } from '../tensor/helpers.js';

class Net extends Module {
  readonly first: Linear = new Linear(3, 4);
  readonly blocks: readonly [Linear, { readonly norm: BatchNorm1d }] = [
    new Linear(4, 4),
    { norm: new BatchNorm1d(4) },
  ];
  readonly heads: ModuleDict = new ModuleDict({ a: new Linear(4, 2), b: new Linear(4, 1, { bias: false }) });
  readonly scale: Parameter = new Parameter(ones([1]));
  readonly #hidden: Linear = new Linear(9, 9);

  constructor() {
    super();
    this.registerBuffer('seen', zeros([2]));
    this.registerBuffer('scratch', zeros([2]), { persistent: false });
  }

  override forward(x: Tensor): Tensor {
    return this.first.forward(x).mul(this.scale);
  }

  hiddenIsThere(): boolean {
    return this.#hidden !== undefined;
  }
}

const NAMES = [
  'scale',
  'first.weight',
  'first.bias',
  'blocks.0.weight',
  'blocks.0.bias',
  'blocks.1.norm.weight',
  'blocks.1.norm.bias',
  'heads.a.weight',
  'heads.a.bias',
  'heads.b.weight',
];

test('parameters are found in fields, arrays, plain objects and containers, not in #private fields', () => {
  const net = new Net();
  assert.ok(net.hiddenIsThere());
  assert.deepEqual(
    [...net.namedParameters()].map(([name]) => name),
    NAMES,
  );
  assert.equal([...net.parameters()].length, NAMES.length);
});

test('buffers have their names, persistent or not', () => {
  const names = [...new Net().namedBuffers()].map(([name]) => name);
  const norm = ['running_mean', 'running_var', 'num_batches_tracked'].map((name) => `blocks.1.norm.${name}`);
  assert.deepEqual(names, ['seen', 'scratch', ...norm]);
});

test('the state dictionary has parameters and persistent buffers in the order of PyTorch', () => {
  const names = Object.keys(new Net().stateDict());
  assert.deepEqual(names.slice(0, 4), ['scale', 'seen', 'first.weight', 'first.bias']);
  assert.ok(names.includes('blocks.1.norm.num_batches_tracked'));
  assert.ok(!names.includes('scratch'));
});

test('modules come once each, parents first; a cycle and a shared module do no harm', () => {
  class Cycle extends Module {
    readonly child: Linear = new Linear(2, 2);
    readonly again: Linear = this.child;
    self: Module | null = null;
  }
  const net = new Cycle();
  net.self = net;
  assert.deepEqual(
    [...net.namedModules()].map(([name]) => name),
    ['', 'child'],
  );
  assert.equal([...net.namedParameters()].length, 2);
  // PyTorch lists a shared parameter under each name.
  assert.deepEqual(Object.keys(net.stateDict()), [
    'child.weight',
    'child.bias',
    'again.weight',
    'again.bias',
  ]);
});

test('loadStateDict copies values and converts dtypes', () => {
  const [from, to] = [new Net().to('float64'), new Net()];
  to.loadStateDict(from.stateDict());
  assert.equal(to.first.weight.dtype, 'float32');
  assert.deepEqual(to.first.weight.tolist(), from.first.weight.to('float32').tolist());
  to.loadStateDict(new Map(Object.entries(from.stateDict())));
});

test('a strict load lists all missing and unexpected names and copies nothing', () => {
  const net = new Net();
  const before = net.first.weight.tolist();
  const { 'first.bias': _, 'heads.b.weight': __, ...rest } = net.stateDict();
  const state = { ...rest, 'first.weight': zeros([4, 3]), extra: ones([1]) };
  assert.throws(() => net.loadStateDict(state), {
    name: 'TypeError',
    message: 'Net.loadStateDict: the state dictionary lacks first.bias, heads.b.weight; Net has no extra',
  });
  assert.deepEqual(net.first.weight.tolist(), before);
  assert.deepEqual(net.loadStateDict(state, { strict: false }), {
    missing: ['first.bias', 'heads.b.weight'],
    unexpected: ['extra'],
  });
  assert.deepEqual(net.first.weight.tolist(), zeros([4, 3]).tolist());
});

test('a load refuses other sizes and values that are no tensors', () => {
  const net = new Linear(2, 3);
  const wrong = { ...net.stateDict(), bias: zeros([1]) };
  assert.throws(() => net.loadStateDict(wrong), ShapeError);
  assert.throws(() => net.loadStateDict(wrong), /bias has the shape \[3\], got \[1\]/);
  const none = { ...net.stateDict(), bias: 3 as unknown as Tensor };
  assert.throws(() => net.loadStateDict(none), /what it has under bias is not a Tensor/);
});

test('long lists of names are cut, and a prefix of all names is told as such', () => {
  const net = new Sequential(...Array.from({ length: 6 }, () => new Linear(1, 1)));
  assert.throws(() => net.loadStateDict({}), {
    name: 'TypeError',
    message:
      'Sequential.loadStateDict: the state dictionary lacks 0.weight, 0.bias, 1.weight, 1.bias, 2.weight, 2.bias, ' +
      '3.weight, 3.bias and 4 more',
  });
  const saved = Object.entries(net.stateDict()).map(([name, value]) => [`model.${name}`, value] as const);
  assert.throws(() => net.loadStateDict(Object.fromEntries(saved)), {
    name: 'TypeError',
    message: "Sequential.loadStateDict: its names begin with 'model.', those of Sequential do not",
  });
});

test('train and eval reach every module', () => {
  const net = new Net();
  assert.equal(net.eval(), net);
  assert.ok([...net.modules()].every((module) => !module.training));
  net.train();
  assert.ok([...net.modules()].every((module) => module.training));
});

test('to converts in place: the same objects, gradients too, integers untouched', () => {
  const net = new Net();
  const { weight } = net.first;
  net
    .forward(ones([2, 3]))
    .sum()
    .backward();
  assert.equal(net.to({ dtype: 'float64', device: 'cpu' }), net);
  assert.equal(net.first.weight, weight);
  assert.equal(weight.dtype, 'float64');
  assert.ok(weight.requiresGrad && weight.isLeaf);
  assert.equal(weight.grad?.dtype, 'float64');
  const norm = net.blocks[1].norm;
  assert.equal(norm.runningMean?.dtype, 'float64');
  assert.equal(norm.numBatchesTracked?.dtype, 'int64');
  net.zeroGrad();
  net
    .forward(ones([2, 3]).to('float64'))
    .sum()
    .backward();
  assert.equal(weight.grad?.dtype, 'float64');
  assert.throws(() => net.to('int64'), DTypeError);
});

test('converted parameters survive a collection, and all goes when the module goes', async () => {
  await collectGarbage();
  const before = memory().tensors;
  let net: Linear | null = new Linear(3, 2);
  net.to('float64');
  await collectGarbage();
  assert.equal(memory().tensors - before, 2);
  assert.ok(!net.weight.disposed);
  net = null;
  await collectGarbage();
  assert.equal(memory().tensors, before);
});

test('zeroGrad drops the gradients', () => {
  const net = new Net();
  net
    .forward(ones([2, 3]))
    .sum()
    .backward();
  assert.notEqual(net.scale.grad, null);
  net.zeroGrad();
  assert.equal(net.scale.grad, null);
});

test('parameters and buffers outlive the scope that made them, and nothing else of it is left', () => {
  const before = memory().tensors;
  const net = tidy(() => {
    const made = new Net();
    made.to('float64').to('float32');
    return made;
  });
  assert.ok([...net.parameters(), ...net.buffers()].every((value) => !value.disposed));
  // The net's own, and weight and bias of the field that the walk does not see.
  const own = [...net.parameters(), ...net.buffers()].length + 2;
  assert.equal(memory().tensors - before, own);
});

test('a parameter shares the memory of its data and is a leaf', () => {
  const data = ones([2]).mul(3);
  const parameter = new Parameter(data);
  assert.ok(parameter.requiresGrad && parameter.isLeaf);
  assert.equal(data.requiresGrad, false);
  data.fill_(5);
  assert.deepEqual(parameter.tolist(), [5, 5]);
  assert.equal(new Parameter(ones([1]), false).requiresGrad, false);
  const fromGraph = new Parameter(parameter.mul(2));
  assert.ok(fromGraph.isLeaf);
  assert.equal(new Buffer(parameter.mul(2)).requiresGrad, false);
});

test('hooks see and replace inputs and outputs, in the order of registration, until removed', () => {
  const net = new Sequential(new Linear(2, 2), new Linear(2, 2));
  const layer = net.at(1) as Linear;
  const calls: string[] = [];
  const before = layer.registerForwardPreHook((module, inputs) => {
    calls.push('before');
    assert.equal(module, layer);
    return [(inputs[0] as Tensor).mul(0)];
  });
  const after = layer.registerForwardHook((_module, inputs, output) => {
    calls.push('after');
    assert.equal((inputs[0] as Tensor).sum().item(), 0);
    return (output as Tensor).add(1);
  });
  layer.registerForwardHook(() => {
    calls.push('last');
  });
  const expected = layer.bias?.add(1).tolist();
  assert.deepEqual(net.forward(ones([2])).tolist(), expected);
  assert.deepEqual(calls, ['before', 'after', 'last']);
  before.remove();
  after.remove();
  const plain = new Sequential(net.at(0) as Linear, layer).forward(ones([2]));
  assert.deepEqual(plain.tolist(), layer.forward((net.at(0) as Linear).forward(ones([2]))).tolist());
  assert.deepEqual(calls.slice(3), ['last', 'last']);
});

test('a module without forward, a bad buffer name and bad entries are errors', () => {
  assert.throws(() => new Module().forward(), /Module has no forward/);
  assert.throws(() => new Module().registerBuffer('a.b', ones([1])), TypeError);
  assert.throws(() => new Module().registerBuffer('a', 3 as unknown as Tensor), TypeError);
  assert.throws(() => new ModuleDict({ 'a.b': new Linear(1, 1) }), TypeError);
  assert.throws(() => new ModuleList([3 as unknown as Linear]), TypeError);
});

test('containers name, order and give their modules', () => {
  const list = new ModuleList([new Linear(1, 2), new Linear(2, 3)]);
  list.append(new Linear(3, 1, { bias: false }));
  assert.equal(list.length, 3);
  assert.equal(list.at(-1)?.constructor, Linear);
  assert.deepEqual(
    [...list.namedParameters()].map(([name]) => name),
    ['0.weight', '0.bias', '1.weight', '1.bias', '2.weight'],
  );
  const dict = new ModuleDict({ b: new Linear(1, 1), a: new Linear(1, 1) });
  assert.deepEqual([...dict.keys()], ['b', 'a']);
  assert.equal(dict.get('b'), [...dict][0]?.[1]);
  assert.equal(dict.get('toString'), undefined);
  const net = new Sequential(...list);
  assert.deepEqual(net.forward(tensor([[1]])).shape, [1, 1]);
});

test('apply goes from the leaves up', () => {
  const names: string[] = [];
  new Sequential(new Linear(1, 1)).apply((module) => names.push(module.constructor.name));
  assert.deepEqual(names, ['Linear', 'Sequential']);
});

test('printing shows the tree', () => {
  const net = new Sequential(new Linear(1, 2), new Sequential(new Linear(2, 1, { bias: false })));
  const expected = `Sequential(
  (0): Linear(inFeatures=1, outFeatures=2, bias=true)
  (1): Sequential(
    (0): Linear(inFeatures=2, outFeatures=1, bias=false)
  )
)`;
  assert.equal(net.toString(), expected);
  assert.equal(inspect(net), expected);
});
