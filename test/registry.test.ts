import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../lib/errors.js';
import { Registry } from '../lib/registry.js';

test('modules are searched in order, then what was registered', () => {
  const registry = new Registry<number>('neuron kind', { IFNode: 1, LIFNode: 2 }, { LIFNode: 3, ATIF: 4 });
  registry.register('Mine', 5);
  assert.equal(registry.find('LIFNode', []), 2);
  assert.equal(registry.find('ATIF', []), 4);
  assert.equal(registry.find('Mine', []), 5);
  assert.deepEqual(registry.names(), ['IFNode', 'LIFNode', 'ATIF', 'Mine']);
  assert.ok(registry.has('Mine'));
  assert.ok(!registry.has('toString'));
});

test('an unknown name is an error that lists the names and the nearest', () => {
  const registry = new Registry<number>('neuron kind', { IFNode: 1, LIFNode: 2 });
  for (const [name, got] of [
    [
      'LIFnod',
      'neuron.kind: expected a neuron kind: one of IFNode, LIFNode (nearest: LIFNode), got "LIFnod"',
    ],
    [
      'constructor',
      'neuron.kind: expected a neuron kind: one of IFNode, LIFNode (nearest: IFNode), got "constructor"',
    ],
    [3, 'neuron.kind: expected a neuron kind: one of IFNode, LIFNode, got 3'],
    [undefined, 'neuron.kind: expected a neuron kind: one of IFNode, LIFNode, got nothing'],
  ] as const) {
    assert.throws(
      () => registry.find(name, ['neuron', 'kind']),
      (error: unknown) => error instanceof ConfigError && error.message === got,
      `${String(name)}`,
    );
  }
  const empty = new Registry<number>('optimizer');
  assert.throws(() => empty.find('Adam', ['kind']), {
    message: 'kind: expected an optimizer (none is registered), got "Adam"',
  });
});

test('a name that exists cannot be registered again', () => {
  const registry = new Registry<number>('model kind', { SMLP: 1 });
  registry.register('Mine', 2);
  for (const name of ['SMLP', 'Mine']) {
    assert.throws(() => registry.register(name, 3), {
      code: 'ERR_SPIKENODE_CONFIG',
      message: `${name}: expected a new name for the model kind, got one that exists already`,
    });
  }
  assert.throws(() => registry.register('', 3), ConfigError);
  assert.equal(registry.find('Mine', []), 2);
});
