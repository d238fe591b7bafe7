import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isPublic, readInput } from '../../scripts/generate.js';
import { selectFamilies } from '../../scripts/operator-schemas.js';

// A process for some thousand calls, so that one that crashes is found and named: repeat it with
// `node dist/test/tensor/fuzz-calls.js SEED FROM TO FILE`.
const program = fileURLToPath(new URL('./fuzz-calls.js', import.meta.url));
const seed = 1;
const calls = process.env['SPIKENODE_TEST_LONG'] ? 600_000 : 6_000;
const batch = 3_000;

interface Outcome {
  readonly worked: number;
  readonly refused: number;
  readonly operators: readonly string[];
}

function run(from: number, to: number, file: string): Outcome | string {
  const result = spawnSync(process.execPath, [program, ...[seed, from, to].map(String), file], {
    // Sizes that are legal and merely large would cost minutes, not find crashes.
    env: { ...process.env, SPIKENODE_MEMORY_LIMIT: '1G', SPIKENODE_NUM_THREADS: '1' },
    encoding: 'utf8',
    // Of a call that does not end; a batch takes a few seconds.
    timeout: 600_000,
    killSignal: 'SIGKILL',
  });
  // The last line: MKL writes its complaints about NaN to the standard output too.
  if (result.status === 0) return JSON.parse(result.stdout.trim().split('\n').at(-1) as string) as Outcome;
  const call = readFileSync(file, 'utf8').trim();
  return `${result.signal ?? `exit code ${result.status}`} in call ${call}\n${result.stderr.slice(-2000)}`;
}

test(`${calls} calls of all operators with random arguments never end the process`, () => {
  const input = readInput();
  const families = selectFamilies(input.schemas, input.allowList, input.overrides).filter(isPublic);
  const folder = mkdtempSync(join(tmpdir(), 'spikenode-fuzz-'));
  const operators = new Set<string>();
  let [worked, refused] = [0, 0];
  try {
    for (let from = 0; from < calls; from += batch) {
      const outcome = run(from, Math.min(from + batch, calls), join(folder, 'call'));
      if (typeof outcome === 'string') assert.fail(outcome);
      worked += outcome.worked;
      refused += outcome.refused;
      for (const name of outcome.operators) operators.add(name);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  assert.equal(worked + refused, calls);
  assert.ok(worked > calls / 4 && refused > calls / 4, `${worked} worked, ${refused} refused`);
  // Each was called; most with arguments that it takes.
  assert.ok(operators.size > families.length * 0.75, `${operators.size} of ${families.length} worked`);
});
