import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { randomNumbers } from '../tensor/helpers.js';

const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
const experiment = fileURLToPath(new URL('../../../test/cli/fixtures/net.toml', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'spikenode-kill-'));
after(() => rmSync(folder, { recursive: true }));

// One thread, so that other work on the machine cannot change the order of sums.
const env = { ...process.env, SPIKENODE_NUM_THREADS: '1' };

interface Life {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

/** A process that gets a signal so many milliseconds after its first line or its start, or is left alone. */
function live(
  args: readonly string[],
  signal?: NodeJS.Signals,
  delay: number = 0,
  since: 'line' | 'start' = 'line',
): Promise<Life> {
  const child = spawn(process.execPath, [main, ...args], { cwd: folder, env });
  let [out, err] = ['', ''];
  const arm = (): void => {
    if (signal) setTimeout(() => child.kill(signal), delay).unref();
  };
  if (since === 'start') arm();
  child.stdout.on('data', (chunk) => {
    if (out === '' && since === 'line') arm();
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  return new Promise((resolve) => {
    child.on('close', (code, by) => resolve({ code, signal: by, out, err }));
  });
}

/** What must be the same in the end: the weights' SHA-256 and the metrics of each run. */
function resultsIn(runs: string): Record<string, unknown> {
  const root = join(folder, runs, 'net');
  return Object.fromEntries(
    readdirSync(root)
      .filter((name) => !name.startsWith('.tmp-'))
      .map((name) => {
        const read = (file: string): Buffer => readFileSync(join(root, name, file));
        const weights = createHash('sha256').update(read('weights.safetensors')).digest('hex');
        const { finished } = JSON.parse(read('run.json').toString());
        return [name, { weights, metrics: read('metrics.jsonl').toString(), finished }];
      }),
  );
}

function hasRun(runs: string): boolean {
  const root = join(folder, runs, 'net');
  return existsSync(root) && readdirSync(root).some((name) => !name.startsWith('.tmp-'));
}

function halfWritten(runs: string): boolean {
  const root = join(folder, runs, 'net');
  return readdirSync(root).some((name) => {
    const checkpoints = join(root, name, 'checkpoints');
    return existsSync(checkpoints) && readdirSync(checkpoints).some((own) => own.startsWith('.tmp-'));
  });
}

const undisturbed = live(['train', experiment, '--runs', 'whole']).then(({ code, err }) => {
  assert.equal(code, 0, err);
  const results = resultsIn('whole');
  assert.deepEqual(Object.keys(results), ['net_r0', 'net_r1']);
  return results;
});

const kills = process.env['SPIKENODE_TEST_LONG'] === '1' ? 200 : 10;

test(`killed ${kills} times at random moments, runs go on to the same bits`, async (t) => {
  const expected = await undisturbed;
  const random = randomNumbers(20);
  let killed = 0;
  let written = 0;
  for (let round = 0; killed < kills; round++) {
    const args = ['train', experiment, '--runs', `round-${round}`];
    for (;;) {
      const resume = hasRun(`round-${round}`) ? ['--resume'] : [];
      const signal = killed < kills ? 'SIGKILL' : undefined;
      // Some while the program is still loading, the others while it trains.
      const life =
        random() < 0.2
          ? await live([...args, ...resume], signal, 600 * random(), 'start')
          : await live([...args, ...resume], signal, 250 * random());
      if (life.signal === 'SIGKILL') {
        killed += 1;
        if (hasRun(`round-${round}`) && halfWritten(`round-${round}`)) written += 1;
        continue;
      }
      assert.equal(life.code, 0, life.err);
      break;
    }
    assert.deepEqual(resultsIn(`round-${round}`), expected, `round ${round}`);
  }
  t.diagnostic(`${written} of ${killed} kills fell into the writing of a checkpoint`);
});

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} leaves a checkpoint, and the command that is printed goes on to the same bits`, async () => {
    const expected = await undisturbed;
    const runs = `runs-${signal}`;
    // Only what the signal has written: no checkpoint comes by itself.
    const rare = '--model.0.checkpoint={ every_epochs = 100 }';
    let args = ['train', experiment, rare, '--runs', runs];
    for (const delay of [1, 10]) {
      const life = await live(args, signal, delay);
      assert.equal(life.code, code, life.err);
      const command = /^to go on: spikenode (train .*)$/m.exec(life.out)?.[1];
      assert.ok(command, life.out);
      args = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
    }
    const last = await live(args);
    assert.equal(last.code, 0, last.err);
    assert.match(last.out, /^going on after /m);
    assert.deepEqual(resultsIn(runs), expected);
  });
}

test('a full disk is a sentence, the last checkpoint stays, and with room the run goes on', async (t) => {
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  const mount = (...args: string[]): boolean => spawnSync('mount', [...args, disk]).status === 0;
  if (!mount('-t', 'tmpfs', '-o', 'size=100k', 'none'))
    return t.skip('a small file system cannot be mounted here');
  try {
    const expected = await undisturbed;
    const args = ['train', experiment, '--runs', disk];
    const full = await live(args);
    assert.equal(full.code, 1);
    const checkpoint = `${disk}/net/net_r0/checkpoints/epoch-\\d-step-\\d+`;
    const sentence = 'cannot be written: no space is left on the disk \\(ENOSPC\\)';
    assert.match(
      full.err,
      new RegExp(`^error: ${checkpoint}: ${sentence}; the last checkpoint is ${checkpoint}\\n$`),
    );
    assert.ok(mount('-o', 'remount,size=10m'));
    const { code, out, err } = await live([...args, '--resume']);
    assert.equal(code, 0, err);
    assert.match(out, /^going on after /m);
    assert.deepEqual(resultsIn('disk'), expected);
  } finally {
    spawnSync('umount', [disk]);
  }
});
