import assert from 'node:assert/strict';
import { test } from 'node:test';
import { textReporter } from '../../lib/cli/reporter.js';
import type { WorkerEvent } from '../../lib/cli/task.js';

type Call = readonly [string, ...unknown[]];

function shown(events: readonly WorkerEvent[]): Call[] {
  const calls: Call[] = [];
  const record =
    (name: string) =>
    (...values: unknown[]): void => {
      calls.push([name, ...values]);
    };
  const bar = { start: record('start'), update: record('update'), stop: record('stop') };
  const write = process.stdout.write;
  process.stdout.write = ((text: string) => {
    calls.push(['print', text]);
    return true;
  }) as typeof write;
  try {
    const reporter = textReporter(bar as never);
    for (const event of events) reporter.show(event);
    reporter.close();
  } finally {
    process.stdout.write = write;
  }
  return calls;
}

const step = (epoch: number, number: number): WorkerEvent => ({
  event: 'step',
  epoch,
  epochs: 2,
  step: number,
  steps: 10,
  loss: 0.5,
  dataWait: 0,
});

test('the bar counts the steps of all epochs and is gone before anything is printed', () => {
  const payload = (epoch: number): object => ({ epoch, epochs: 2, loss: '0.5000' });
  assert.deepEqual(
    shown([
      step(1, 4),
      step(1, 10),
      { event: 'epoch', epochs: 2, metrics: { epoch: 1 } },
      step(2, 3),
      { event: 'evaluation', part: 'test', metrics: { test_loss: 0.25, test_acc: 0.97777 } },
      { event: 'end', folder: 'runs/a', interrupted: false, resumable: true },
    ]),
    [
      ['start', 20, 4, payload(1)],
      ['update', 10, payload(1)],
      ['update', 13, payload(2)],
      ['stop'],
      ['print', 'test loss: 0.2500\n'],
      ['print', 'test accuracy: 97.78 %\n'],
    ],
  );
});

test('the last lines are the means of the runs of each model', () => {
  const events = ['a', 'b'].flatMap((model, m) =>
    [0, 1].flatMap((run): WorkerEvent[] => [
      { event: 'start', model, run, seed: run, folder: 'f', parameters: 1, device: 'cpu' },
      { event: 'evaluation', part: 'test', metrics: { test_acc: 0.5 + 0.25 * run + 0.125 * m } },
    ]),
  );
  assert.deepEqual(shown(events).slice(-2), [
    ['print', 'a: test accuracy: 62.50 % (mean of 2 runs, 50.00 % to 75.00 %)\n'],
    ['print', 'b: test accuracy: 75.00 % (mean of 2 runs, 62.50 % to 87.50 %)\n'],
  ]);
});

test('a confusion matrix is a table, after a training that of the test alone, and not a wide one', () => {
  const cm = [
    [10, 0],
    [3, 125],
  ];
  const evaluation = (part: 'train' | 'test', matrix: number[][]): WorkerEvent => ({
    event: 'evaluation',
    part,
    metrics: { cm: matrix } as never,
  });
  const table = (part: string): Call[] => [
    ['print', `${part} confusion matrix (a row for each true class, a column for each predicted one):\n`],
    ['print', '      0    1\n'],
    ['print', '  0  10    0\n'],
    ['print', '  1   3  125\n'],
  ];
  assert.deepEqual(shown([evaluation('train', cm)]), table('train'));
  const start: WorkerEvent = {
    event: 'start',
    model: 'a',
    run: 0,
    seed: 0,
    folder: 'f',
    parameters: 1,
    device: 'cuda:1',
  };
  assert.deepEqual(shown([start]), [['print', 'a, run 0: 1 parameters, seed 0, on cuda:1, in f\n']]);
  assert.deepEqual(shown([start, evaluation('train', cm), evaluation('test', cm)]).slice(1), table('test'));
  const wide = Array.from({ length: 21 }, () => Array.from({ length: 21 }, () => 0));
  assert.deepEqual(shown([evaluation('test', wide)]), []);
  assert.equal(
    shown([
      evaluation(
        'test',
        wide.slice(1).map((row) => row.slice(1)),
      ),
    ]).length,
    22,
  );
});
