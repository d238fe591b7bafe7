import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';

const library = new URL('../../lib/tensor/index.js', import.meta.url).href;
const dispatch = new URL('../../lib/tensor/dispatch.js', import.meta.url).href;
const repeats = process.env['SPIKENODE_TEST_LONG'] ? 50 : 5;

// A backward of a second or so, so that it is surely running when the environment ends.
const slowBackward = `
  const x = t.ones([1200, 1200], { requiresGrad: true });
  let y = x;
  for (let i = 0; i < 8; i++) y = t.matmul(y, x);
  const done = y.sum().backwardAsync();`;

function inWorker(body: string): string {
  return `new Worker(new URL('data:text/javascript,' + encodeURIComponent(\`
    import { parentPort } from 'node:worker_threads';
    const t = await import('${library}');
    ${body}\`)))`;
}

interface Case {
  readonly name: string;
  readonly script: string;
  readonly code: number;
  readonly stdout: string;
}

const cases: Case[] = [
  {
    name: 'loads in a worker only, then in the main thread',
    script: `
      const worker = ${inWorker(`const x = t.ones([3]); parentPort.postMessage(x.sum().item());`)};
      const exited = new Promise((resolve) => worker.once('exit', resolve));
      const value = await new Promise((resolve) => worker.once('message', resolve));
      await exited;
      const t = await import('${library}');
      console.log(value, t.ones([4]).sum().item());`,
    code: 0,
    stdout: '3 4\n',
  },
  {
    name: 'a worker ends while its tensors live',
    script: `
      const t = await import('${library}');
      const mine = t.ones([1000]);
      const worker = ${inWorker(`globalThis.x = t.ones([1000000], { requiresGrad: true }); globalThis.y = globalThis.x.exp();`)};
      await new Promise((resolve) => worker.once('exit', resolve));
      console.log(mine.sum().item());`,
    code: 0,
    stdout: '1000\n',
  },
  {
    name: 'process.exit(3) while a backward runs',
    script: `const t = await import('${library}'); ${slowBackward} setTimeout(() => process.exit(3), 20);`,
    code: 3,
    stdout: '',
  },
  {
    name: 'an uncaught throw while a backward runs',
    script: `const t = await import('${library}'); ${slowBackward} setTimeout(() => { throw new Error('stop'); }, 20);`,
    code: 1,
    stdout: '',
  },
  {
    name: 'worker.terminate() in the middle of backwardAsync',
    script: `
      const worker = ${inWorker(`${slowBackward} parentPort.postMessage('running'); await done;`)};
      await new Promise((resolve) => worker.once('message', resolve));
      await worker.terminate();
      const t = await import('${library}');
      console.log(t.ones([2]).sum().item());`,
    code: 0,
    stdout: '2\n',
  },
  {
    name: 'worker.terminate() with an asynchronous call in flight and more behind it',
    script: `
      const worker = ${inWorker(`
        const { Operator, handleOf } = await import('${dispatch}');
        const matmul = new Operator('aten::matmul', '');
        const x = t.ones([1500, 1500]);
        for (let i = 0; i < 20; i++) matmul.bound().callAsync(matmul.id, handleOf(x), handleOf(x));
        parentPort.postMessage('running');
        await new Promise(() => {});`)};
      await new Promise((resolve) => worker.once('message', resolve));
      await worker.terminate();
      const t = await import('${library}');
      console.log(t.ones([2]).sum().item());`,
    code: 0,
    stdout: '2\n',
  },
  {
    name: 'process.exit(3) in the main thread while a worker is inside an operator',
    script: `
      const worker = ${inWorker(`parentPort.postMessage('running'); const x = t.ones([1500, 1500]); for (let i = 0; i < 50; i++) t.matmul(x, x).dispose();`)};
      await new Promise((resolve) => worker.once('message', resolve));
      setTimeout(() => process.exit(3), 20);`,
    code: 3,
    stdout: '',
  },
];

function run(
  script: string,
): Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const source = `import { Worker } from 'node:worker_threads';\n${script}`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => {
      stdout += data;
    });
    child.stderr.on('data', (data) => {
      stderr += data;
    });
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

for (const { name, script, code, stdout } of cases) {
  test(`${name} (${repeats} times)`, async () => {
    for (let i = 0; i < repeats; i++) {
      const result = await run(script);
      assert.equal(result.signal, null, result.stderr);
      assert.equal(result.code, code, result.stderr);
      assert.equal(result.stdout, stdout, result.stderr);
    }
  });
}
