import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { replaceFile } from '../lib/durable.js';

test('a file is the old one until the new one is whole, and nothing is left beside it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'spikenode-'));
  try {
    const file = join(folder, 'state.json');
    await replaceFile(file, (handle) => handle.writeFile('old'));
    await assert.rejects(
      replaceFile(file, async (handle) => {
        await handle.writeFile('half of the');
        assert.equal(readFileSync(file, 'utf8'), 'old');
        throw new Error('the disk is full');
      }),
      /the disk is full/,
    );
    assert.deepEqual([readFileSync(file, 'utf8'), readdirSync(folder)], ['old', ['state.json']]);
    await replaceFile(file, (handle) => handle.writeFile('new'));
    assert.deepEqual([readFileSync(file, 'utf8'), readdirSync(folder)], ['new', ['state.json']]);
    await assert.rejects(
      replaceFile(join(folder, 'none', 'state.json'), async () => {}),
      { code: 'ENOENT' },
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
