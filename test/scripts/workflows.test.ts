import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { packageRoot } from '../../lib/native/platform.js';

interface Workflows {
  shellLines(text: string): { number: number; shell: string }[];
  missingScripts(shell: string, scripts: Record<string, string>, exists: (file: string) => boolean): string[];
  workflowProblems(root: string): Promise<string[]>;
}

interface Release {
  releaseProblems(tag: string, manifests: object[], changes: string, repository?: string): string[];
}

// Plain JavaScript, since they run before anything is compiled.
const script = <T>(name: string): Promise<T> =>
  import(pathToFileURL(join(packageRoot(), 'scripts', name)).href) as Promise<T>;

test('the workflows pass actionlint and call only what is there', async () => {
  const { workflowProblems } = await script<Workflows>('workflows.mjs');
  assert.deepEqual(await workflowProblems(packageRoot()), []);
});

test('lines of shell are found on the line of run and below it', async () => {
  const { shellLines } = await script<Workflows>('workflows.mjs');
  const text = `steps:
  - run: npm run lint
  - name: more
    run: |
      set -e

      npm test
    env:
      run: no
  - uses: some/action@v1
`;
  assert.deepEqual(shellLines(text), [
    { number: 2, shell: 'npm run lint' },
    { number: 5, shell: 'set -e' },
    { number: 7, shell: 'npm test' },
    { number: 9, shell: 'no' },
  ]);
});

test('a script that is not there is named', async () => {
  const { missingScripts } = await script<Workflows>('workflows.mjs');
  const missing = (shell: string): string[] =>
    missingScripts(shell, { test: '', 'test:long': '' }, (file) => file === 'scripts/there.mjs');
  assert.deepEqual(missing('npm ci && npm test && npm run test:long -- x && node scripts/there.mjs a'), []);
  assert.deepEqual(missing('npm run test:install -- --keep; npm start'), [
    "package.json has no script 'test:install'",
    "package.json has no script 'start'",
  ]);
  assert.deepEqual(missing('npm run --silent other | cat'), ["package.json has no script 'other'"]);
  assert.deepEqual(missing('node scripts/gone.mjs packages && node dist/lib/cli/main.js doctor'), [
    "there is no 'scripts/gone.mjs'",
    "there is no 'dist/lib/cli/main.js'",
  ]);
});

test('a release must have one version, a change log and the repository that publishes it', async () => {
  const { releaseProblems } = await script<Release>('check-release.mjs');
  const names = ['spikenode', '@spikenode/linux-x64', '@spikenode/libtorch-linux-x64'];
  const repository = { type: 'git', url: 'git+https://github.com/some/where.git' };
  const manifests = names.map((name) => ({ name, version: '1.2.0', repository }));
  const changes = '# Changes\n\n## 1.2.0 - today\n\n- one\n';
  assert.deepEqual(releaseProblems('v1.2.0', manifests, changes, 'some/where'), []);
  assert.deepEqual(releaseProblems('v1.2.0', manifests, changes.replace('1.2.0', '[1.2.0]')), []);
  assert.deepEqual(releaseProblems('v1.2.0', manifests.slice(1), changes), [
    'there is no tarball of spikenode',
  ]);
  assert.deepEqual(releaseProblems('v1.2.0', manifests, '## 1.2.0-rc.1\n'), [
    "CHANGELOG.md has no section '## 1.2.0'",
  ]);
  const [one, ...others] = releaseProblems('v1.3.0', manifests, '## 1.3.0', 'some/where');
  assert.equal(one, "spikenode is version 1.2.0, and the tag is 'v1.3.0'");
  assert.equal(others.length, 2);
  assert.match(
    releaseProblems('v1.2.0', manifests, changes, 'else/where')[0] ?? '',
    /states the repository 'git\+https:\/\/github\.com\/some\/where\.git', and provenance needs .*else\/where/,
  );
});
