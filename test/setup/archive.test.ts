import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { unpack, unpackedBytes } from '../../lib/setup/archive.js';
import { noise, type ZipEntry, zip } from './wheel.js';

const base = mkdtempSync(join(tmpdir(), 'spikenode-archive-'));
after(() => rmSync(base, { recursive: true }));
let count = 0;

const all = (entry: string): string => entry;
const always = (): boolean => true;

/** A wheel of these bytes, and an empty folder to unpack it into. */
function prepare(bytes: Buffer): { wheel: string; target: string } {
  const place = join(base, `${count++}`);
  const target = join(place, 'target');
  mkdirSync(target, { recursive: true });
  writeFileSync(join(place, 'x.whl'), bytes);
  return { wheel: join(place, 'x.whl'), target };
}

async function refusal(bytes: Buffer, place: (entry: string) => string | null = all): Promise<string> {
  const { wheel, target } = prepare(bytes);
  let message = '';
  await assert.rejects(
    unpack(wheel, place, target, always, () => {}),
    (error: NodeJS.ErrnoException) => {
      assert.equal(error.code, 'ERR_SPIKENODE_SETUP', error.stack);
      message = error.message;
      return true;
    },
  );
  assert.deepEqual(
    readdirSync(join(target, '..')).sort(),
    ['target', 'x.whl'],
    'something was written outside the folder',
  );
  return message;
}

const entry = (name: string, more: Partial<ZipEntry> = {}): ZipEntry => ({
  name,
  data: Buffer.from('data'),
  ...more,
});

test('files arrive where they belong, with their modes', async () => {
  const library = noise(300_000, 1);
  const { wheel, target } = prepare(
    zip([
      entry('a/', { data: Buffer.alloc(0), mode: 0o40755 }),
      entry('a/lib.so', { data: library, mode: 0o100755 }),
      entry('a/setuid', { mode: 0o106777 }),
      entry('a/secret', { mode: 0o100600 }),
      entry('b/plain', { mode: 0 }),
      entry('left out'),
    ]),
  );
  const place = (name: string): string | null => (/^[ab]\/./.test(name) ? `x/${name}` : null);
  assert.equal(await unpackedBytes(wheel, place), 300_012);
  const sizes: number[] = [];
  await unpack(wheel, place, target, always, (bytes) => sizes.push(bytes));
  assert.deepEqual(sizes, [300_000, 4, 4, 4]);
  assert.deepEqual(readdirSync(join(target, 'x', 'a')).sort(), ['lib.so', 'secret', 'setuid']);
  assert.deepEqual(readdirSync(join(target, 'x', 'b')), ['plain']);
  assert.ok(readFileSync(join(target, 'x/a/lib.so')).equals(library));
  const umask = process.umask();
  const mode = (name: string): number => statSync(join(target, 'x', name)).mode & 0o7777;
  assert.equal(mode('a/lib.so'), 0o755 & ~umask);
  assert.equal(mode('a/setuid'), 0o755 & ~umask);
  assert.equal(mode('a/secret'), 0o644 & ~umask);
  assert.equal(mode('b/plain'), 0o644 & ~umask);
});

test('entries that lead out of the folder are refused', async () => {
  for (const name of ['../out', 'a/../../out', '/out', 'C:/out', 'a\\..\\..\\out']) {
    const message = await refusal(zip([entry(name)]));
    assert.ok(message.includes("x.whl'"), message);
  }
  assert.match(await refusal(zip([entry('a')]), () => '../out'), /'a' leaves its folder/);
  assert.match(await refusal(zip([entry('a')]), () => ''), /'a' leaves its folder/);
  assert.ok(!existsSync('/out'));
});

test('links and devices are refused', async () => {
  for (const mode of [0o120777, 0o020666, 0o060666, 0o010644, 0o140777])
    assert.match(await refusal(zip([entry('a', { mode })])), /'a' is no regular file/);
});

test('two entries of one name, and a file in the place of a folder, are no accident', async () => {
  const twice = prepare(zip([entry('a'), entry('a')]));
  await assert.rejects(
    unpack(twice.wheel, all, twice.target, always, () => {}),
    /no whole wheel: EEXIST/,
  );
});

test('more bytes than the headers say, or fewer, are refused', async () => {
  const data = noise(100_000, 2);
  for (const claimedSize of [10, 99_999, 100_001])
    assert.match(await refusal(zip([entry('a', { data, claimedSize })])), /no whole wheel: /);
});

test('a truncated or damaged archive is a sentence', async () => {
  const whole = zip([entry('a', { data: noise(50_000, 3) }), entry('b')]);
  for (const length of [0, 1, 21, 100, 30_000, whole.length - 1])
    assert.match(await refusal(whole.subarray(0, length)), /cannot be unpacked, it is no whole wheel: /);
  const damaged = Buffer.from(whole);
  // The first bytes of the first entry's compressed data, behind its header and name.
  damaged.fill(0xff, 31, 40);
  assert.match(await refusal(damaged), /no whole wheel/);
  assert.match(await refusal(Buffer.from('<html>no wheel</html>'.repeat(10))), /no whole wheel/);
});
