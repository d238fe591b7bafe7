import assert from 'node:assert/strict';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  cacheRoot,
  compareVersions,
  glibcVersion,
  type PlatformFacts,
  platformProblem,
  platformSentence,
} from '../../lib/native/platform.js';

const good: PlatformFacts = { platform: 'linux', arch: 'x64', glibc: '2.28', node: '20.12.0' };

test('every platform that cannot compute has a sentence of its own: what it is, why, and what works', () => {
  const cases: readonly [Partial<PlatformFacts>, RegExp][] = [
    [{ platform: 'win32' }, /Windows.*WSL 2/],
    [{ platform: 'darwin', arch: 'x64' }, /macOS \(Intel\).*no libtorch for Intel Macs since 2\.3/],
    [{ platform: 'darwin', arch: 'arm64' }, /macOS \(Apple silicon\).*not built for it yet/],
    [{ platform: 'freebsd' }, /Linux x64 only; this is freebsd x64/],
    [{ arch: 'arm64' }, /Linux arm64 yet/],
    [{ glibc: null }, /musl.*node:22-slim/],
    [{ glibc: '2.17' }, /glibc 2\.28 or newer.*has glibc 2\.17/],
    [{ node: '18.20.4' }, /Node\.js 20\.12\.0 or newer; this is 18\.20\.4/],
  ];
  const texts = cases.map(([facts, expected]) => {
    const text = platformSentence({ ...good, ...facts });
    assert.match(text ?? 'null', expected);
    assert.doesNotMatch(text ?? '', /undefined|null|\n/);
    return text;
  });
  assert.equal(new Set(texts).size, cases.length);
  assert.equal(platformSentence(good), null);
});

test('this machine computes, with a glibc of digits', () => {
  assert.equal(platformProblem(), null);
  assert.match(glibcVersion() ?? 'null', /^2\.\d+$/);
});

test('versions are compared number by number', () => {
  assert.ok(compareVersions('2.9', '2.28') < 0);
  assert.ok(compareVersions('2.14.1+cu130', '2.14.0') > 0);
  assert.equal(compareVersions('2.13', '2.13.0+cpu'), 0);
});

test('the cache is SPIKENODE_CACHE, else below XDG_CACHE_HOME, else below the home', (t) => {
  const { SPIKENODE_CACHE, XDG_CACHE_HOME } = process.env;
  t.after(() => {
    for (const [name, value] of Object.entries({ SPIKENODE_CACHE, XDG_CACHE_HOME }))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  });
  process.env['SPIKENODE_CACHE'] = '/a b/c';
  process.env['XDG_CACHE_HOME'] = '/x';
  assert.equal(cacheRoot(), '/a b/c');
  process.env['SPIKENODE_CACHE'] = '';
  assert.equal(cacheRoot(), '/x/spikenode');
  process.env['XDG_CACHE_HOME'] = '';
  assert.equal(cacheRoot(), join(homedir(), '.cache', 'spikenode'));
});
