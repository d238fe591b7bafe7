import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, DTypeError, ShapeError, TorchError } from '../../lib/errors.js';
import { detachNet, resetNet } from '../../lib/layer/index.js';
import { type BaseNode, IFNode, LIFNode } from '../../lib/neuron/index.js';
import { Buffer, Parameter, Sequential } from '../../lib/nn/index.js';
import { ATan, Sigmoid } from '../../lib/surrogate/index.js';
import { full, memory, noGrad, ones, type Tensor, tensor, tidy, zeros } from '../../lib/tensor/index.js';

async function warnings(fn: () => void): Promise<string[]> {
  const found: string[] = [];
  const listener = (warning: Error): void => {
    found.push(warning.message);
  };
  process.on('warning', listener);
  fn();
  await new Promise(setImmediate);
  process.off('warning', listener);
  return found;
}

// Assertions narrow the type of a field for good, although a call changes it.
const membrane = (node: BaseNode): Tensor => node.v as Tensor;
const sequence = (node: BaseNode): Tensor | null => node.vSeq;

test('defaults are those of the field, and each neuron has a surrogate of its own', () => {
  const [a, b] = [new LIFNode(), new LIFNode()];
  assert.deepEqual(
    [a.tau, a.decayInput, a.vThreshold, a.vReset, a.detachReset, a.stepMode, a.backend, a.storeVSeq],
    [2, true, 1, 0, false, 's', 'torch', false],
  );
  assert.ok(a.surrogateFunction instanceof Sigmoid);
  assert.equal((a.surrogateFunction as Sigmoid).alpha, 4);
  assert.notEqual(a.surrogateFunction, b.surrogateFunction);
  assert.deepEqual(Object.keys(a.stateDict()), []);
});

test('what is learned or a buffer has its established name in state dictionaries', () => {
  const learned = (value: number): Parameter => new Parameter(full([3, 1, 1], value));
  const node = new LIFNode({ tau: learned(2), vThreshold: learned(1), stepMode: 'm' });
  assert.deepEqual(
    [...node.namedParameters()].map(([name]) => name),
    ['v_threshold', 'tau'],
  );
  node.loadStateDict({ v_threshold: full([3, 1, 1], 0.5), tau: full([3, 1, 1], 4) });
  assert.deepEqual((node.vThreshold as Tensor).flatten().tolist(), [0.5, 0.5, 0.5]);
  const fixed = new LIFNode({ vThreshold: tidy(() => new Buffer(full([3, 1, 1], 2))), stepMode: 'm' });
  assert.deepEqual(Object.keys(fixed.stateDict()), ['v_threshold']);
  assert.equal(
    fixed
      .forward(ones([1, 2, 3, 4, 4]))
      .sum()
      .item(),
    0,
  );
});

test('the state is a number before the first input, then a tensor of one step', () => {
  const node = new IFNode({ vReset: -0.5, stepMode: 'm' });
  assert.equal(node.v, -0.5);
  assert.equal(new IFNode({ vReset: null }).v, 0);
  node.forward(full([3, 2], 0.25));
  assert.deepEqual(membrane(node).tolist(), [0.25, 0.25]);
  node.reset();
  assert.equal(node.v, -0.5);
});

test('states live on between calls and in both step modes alike', () => {
  const x = tensor([[0.3], [0.5], [0.4], [0.9]], { dtype: 'float64' });
  const whole = new LIFNode({ stepMode: 'm', vReset: false });
  const expected = whole.forward(x).tolist();
  const halves = new LIFNode({ stepMode: 'm', vReset: false });
  const out = [
    ...halves.forward(x.narrow(0, 0, 1)).unbind(0),
    ...halves.forward(x.narrow(0, 1, 3)).unbind(0),
  ];
  assert.deepEqual(
    out.map((s) => s.tolist()),
    expected,
  );
  assert.deepEqual(membrane(halves).tolist(), membrane(whole).tolist());
});

test('an assigned number fills, an assigned tensor keeps its graph and may be disposed', () => {
  const node = new IFNode({ stepMode: 'm' });
  node.v = 0.75;
  assert.deepEqual(node.forward(full([1, 2], 0.25)).tolist(), [[1, 1]]);
  const v0 = full([2], 0.5, { requiresGrad: true });
  node.v = v0;
  assert.deepEqual(membrane(node).tolist(), [0.5, 0.5]);
  const out = node.forward(full([1, 2], 0.1));
  membrane(node).sum().backward();
  assert.ok(out.shape.length === 2 && v0.grad !== null);
  node.v = v0;
  v0.dispose();
  assert.deepEqual(membrane(node).tolist(), [0.5, 0.5]);
});

test('an assigned tensor of another shape is an error, and stays', () => {
  const node = new LIFNode({ stepMode: 'm' });
  node.v = zeros([3]);
  assert.throws(() => node.forward(ones([4, 2])), ShapeError);
  assert.throws(
    () => node.forward(ones([4, 2])),
    /LIFNode: argument 'v' must have the shape of one step, \[2\], got \[3\]/,
  );
  assert.deepEqual(membrane(node).shape, [3]);
  assert.throws(() => {
    node.v = 'high' as unknown as number;
  }, /LIFNode: argument 'v' must be a Tensor or a number/);
});

test('an assigned tensor is converted to the dtype of the input', () => {
  const node = new IFNode({ stepMode: 'm' });
  node.v = tensor([0.5, 0.25]);
  const out = node.forward(zeros([1, 2], { dtype: 'float64' }));
  assert.equal(out.dtype, 'float64');
  assert.equal(membrane(node).dtype, 'float64');
});

test('an assigned state that has been used is a state as any other', async () => {
  const found = await warnings(() => {
    const node = new IFNode({ stepMode: 'm' });
    node.v = full([2], 0.5);
    node.forward(full([1, 2], 0.75));
    assert.deepEqual(node.forward(full([1, 3], 0.75)).tolist(), [[0, 0, 0]]);
  });
  assert.equal(found.length, 1);
});

test('a state left over from another batch shape starts anew with one warning', async () => {
  const node = new IFNode({ stepMode: 'm' });
  const found = await warnings(() => {
    node.forward(full([1, 2], 0.75));
    const out = node.forward(full([1, 3], 0.75));
    assert.deepEqual(out.tolist(), [[0, 0, 0]]);
    node.forward(full([1, 4], 0.75));
  });
  assert.equal(found.length, 1);
  assert.match(
    found[0] as string,
    /IFNode: the state 'v' of shape \[2\] is left over .* call resetNet\(net\)/,
  );
  const silent = await warnings(() => {
    const other = new IFNode({ stepMode: 'm' });
    other.forward(zeros([1, 2]));
    other.reset();
    other.forward(zeros([1, 3]));
  });
  assert.deepEqual(silent, []);
});

test('a second backward without reset names the cure; reset and detach are cures', () => {
  const net = new Sequential(new LIFNode({ stepMode: 'm' }));
  const x = full([2, 3], 0.4, { requiresGrad: true });
  const step = (): void => net.forward(x).sum().backward();
  step();
  assert.throws(
    step,
    (error: unknown) => error instanceof TorchError && /resetNet\(net\)/.test(error.message),
  );
  resetNet(net);
  step();
  detachNet(net);
  assert.notEqual((net.at(0) as LIFNode).v, 0);
  step();
  resetNet(net);
  assert.equal((net.at(0) as LIFNode).v, 0);
});

test('detach keeps the values', () => {
  const node = new LIFNode({ stepMode: 'm' });
  node.forward(full([2, 3], 0.4, { requiresGrad: true }));
  const before = membrane(node).tolist();
  assert.equal(membrane(node).requiresGrad, true);
  node.detach();
  assert.equal(membrane(node).requiresGrad, false);
  assert.deepEqual(membrane(node).tolist(), before);
});

test('evaluation mode keeps gradients', () => {
  const x = full([2, 3], 0.4, { requiresGrad: true });
  new LIFNode({ stepMode: 'm' }).eval().forward(x).sum().backward();
  assert.ok((x.grad?.abs().sum().item() as number) > 0);
});

test('vSeq has the membrane after each reset, in step mode m only', () => {
  const node = new IFNode({ stepMode: 'm', storeVSeq: true, vReset: null });
  assert.equal(sequence(node), null);
  const x = full([3, 1], 0.75, { dtype: 'float64', requiresGrad: true });
  node.forward(x);
  assert.deepEqual(sequence(node)?.tolist(), [[0.75], [0.5], [0.25]]);
  sequence(node)?.sum().backward();
  assert.notEqual(x.grad, null);
  node.reset();
  assert.equal(sequence(node), null);
  node.forward(x.detach());
  node.storeVSeq = false;
  assert.equal(sequence(node), null);
  const single = new IFNode({ storeVSeq: true });
  single.forward(ones([2]));
  assert.equal(single.vSeq, null);
});

test('the smooth mode gives the primitive', () => {
  const node = new IFNode({ stepMode: 'm', surrogateFunction: new Sigmoid({ alpha: 2, spiking: false }) });
  const out = node.forward(tensor([[0.5]], { dtype: 'float64' })).toTypedArray()[0] as number;
  assert.ok(Math.abs(out - 1 / (1 + Math.exp(1))) < 1e-12);
});

test('shapes: no neurons, no steps, no dimensions', () => {
  const node = new LIFNode({ stepMode: 'm' });
  assert.deepEqual(node.forward(ones([4])).shape, [4]);
  node.reset();
  assert.deepEqual(node.forward(ones([4, 0])).shape, [4, 0]);
  node.reset();
  node.v = full([2], 0.5);
  assert.deepEqual(node.forward(ones([0, 2])).shape, [0, 2]);
  assert.deepEqual(membrane(node).tolist(), [0.5, 0.5]);
  assert.throws(() => node.forward(tensor(1)), ShapeError);
  const single = new LIFNode();
  assert.deepEqual(single.forward(tensor(3)).shape, []);
});

test('an integer input is an error that names the cure and leaves the state alone', () => {
  // The second has no kernel: its neuron runs on libtorch's operators, which would take integers.
  for (const surrogateFunction of ['ATan', { kind: 'MultiLevelSpikeCount', params: { maxSpikeCount: 2 } }]) {
    for (const dtype of ['int64', 'bool'] as const) {
      const node = new LIFNode({ stepMode: 'm', surrogateFunction });
      const forward = (): Tensor => node.forward(ones([2, 3], { dtype }));
      assert.throws(forward, DTypeError);
      assert.throws(forward, {
        message: `LIFNode: argument 'x' must be of dtype float32, float64, bfloat16, float16, got ${dtype}; convert it with .to(dtype)`,
      });
      assert.equal(node.v, 0);
    }
  }
});

test('a surrogate is assigned in any form, and one that is none is an error', () => {
  const node = new IFNode();
  node.surrogateFunction = 'ATan';
  assert.ok((node.surrogateFunction as unknown) instanceof ATan);
  node.surrogateFunction = { kind: 'ATan', params: { alpha: 3 } };
  assert.equal((node.surrogateFunction as unknown as ATan).alpha, 3);
  const own = new Sigmoid();
  node.surrogateFunction = own;
  assert.equal(node.surrogateFunction, own);
  assert.throws(
    () => {
      node.surrogateFunction = 'Atan';
    },
    (error: ConfigError) => error instanceof ConfigError && error.path.join() === 'surrogateFunction',
  );
  assert.equal(node.surrogateFunction, own);
});

test('states belong to no scope, and replaced ones are given back', () => {
  const node = new LIFNode({ stepMode: 'm', storeVSeq: true });
  tidy(() => node.forward(ones([2, 3])));
  assert.deepEqual(membrane(node).shape, [3]);
  const before = memory().tensors;
  for (let i = 0; i < 20; i++) {
    tidy(() => {
      noGrad(() => node.forward(ones([2, 3])));
      assert.deepEqual(membrane(node).shape, [3]);
      node.v = membrane(node);
    });
  }
  assert.equal(memory().tensors, before);
  node.reset();
  assert.equal(memory().tensors, before - 2);
});

test('parameters come in either spelling and are checked', () => {
  const node = new LIFNode({ v_threshold: 2, v_reset: false, surrogate_function: 'ATan' } as object);
  assert.deepEqual([node.vThreshold, node.vReset], [2, null]);
  assert.ok(node.surrogateFunction instanceof ATan);
  const failing: readonly [object, RegExp][] = [
    [{ tau: 1 }, /^tau: expected a number > 1, got 1$/],
    [{ tau: '2' }, /^tau: expected a number > 1, got "2"$/],
    [{ vReset: true }, /^vReset: expected a finite number, or false/],
    [{ vReset: Number.NaN }, /^vReset/],
    [{ vThreshold: Number.POSITIVE_INFINITY }, /^vThreshold: expected a finite number/],
    [{ vThreshold: true }, /^vThreshold/],
    [{ v_threshold: 1, vThreshold: 1 }, /one spelling/],
    [{ treshold: 1 }, /nearest: vThreshold/],
    [{ stepMode: 'x' }, /^stepMode/],
    [{ backend: 'numpy' }, /^backend/],
    [{ surrogateFunction: 'Atan' }, /^surrogateFunction: .*nearest: ATan/],
    [{ surrogateFunction: { kind: 'ATan', params: { alpha: -1 } } }, /^surrogateFunction\.params\.alpha/],
  ];
  for (const [options, message] of failing) {
    assert.throws(
      () => new LIFNode(options),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError, String(error));
        assert.match(error.message, message);
        return true;
      },
    );
  }
  assert.equal(new LIFNode({ vReset: undefined as unknown as null }).vReset, 0);
});
