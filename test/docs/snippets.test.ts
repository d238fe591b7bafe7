// The pages' code as a reader would type it in: each page in a folder of its own, in order.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Block, blocksOf, matches } from './page.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const modules = join(root, 'node_modules');
const cli = join(root, 'dist', 'lib', 'cli', 'main.js');
const base = mkdtempSync(join(tmpdir(), 'spikenode-docs-'));
after(() => rmSync(base, { recursive: true }));

// Commands that install or build what the test has already, or run what other tests run.
const notRun: ReadonlySet<string> = new Set([
  'npm start',
  'npm test',
  'npm install spikenode',
  'npm run setup',
  'npm install ../spikenode',
  'npm install --save-dev typescript @types/node',
]);

// Text that is no output of the block before it; a test below checks it.
const mistake = 'digits.toml:19:88: model.0.params.neuron.params.tau: expected a number > 1, got 0.5\n';

const readme = blocksOf(readFileSync(join(root, 'README.md'), 'utf8'));
const gettingStarted = blocksOf(readFileSync(join(root, 'docs', 'getting-started.md'), 'utf8'));
// A page to look things up in: its files alone.
const neurons = blocksOf(readFileSync(join(root, 'docs', 'neurons.md'), 'utf8')).filter(
  ({ file }) => file !== '',
);
assert.equal(neurons.length, 2);

/** A project with spikenode, TypeScript and the types of Node installed. */
function project(name: string): string {
  const folder = join(base, name);
  mkdirSync(join(folder, 'node_modules', '@types'), { recursive: true });
  symlinkSync(root, join(folder, 'node_modules', 'spikenode'));
  symlinkSync(join(modules, '@types', 'node'), join(folder, 'node_modules', '@types', 'node'));
  for (const file of ['package.json', 'tsconfig.json']) {
    const block = gettingStarted.find((one) => one.file === file);
    assert.ok(block, `getting-started.md has no ${file}`);
    writeFileSync(join(folder, file), block.text);
  }
  return folder;
}

function execute(folder: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  assert.equal(status, 0, `${args.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}

function compile(folder: string): void {
  execute(folder, [join(modules, 'typescript', 'bin', 'tsc'), '-p', '.']);
}

function shell(folder: string, text: string): string {
  let output = '';
  for (const line of text.trimEnd().split('\n')) {
    const command = line.replace(/\s+#.*$/, '');
    if (notRun.has(command)) continue;
    const [npx, program, ...args] = command.split(' ');
    assert.deepEqual([npx, program], ['npx', 'spikenode'], `the test knows no command '${command}'`);
    output += execute(folder, [cli, ...args]);
  }
  return output;
}

/** What the block prints. */
function run(folder: string, { language, file, text }: Block, index: number): string {
  if (language === 'sh') return shell(folder, text);
  const name = file || `block${index}.${language}`;
  writeFileSync(join(folder, name), text);
  if (language === 'ts') compile(folder);
  const isProgram = language === 'ts' || language === 'js';
  return isProgram ? execute(folder, [name.replace(/\.ts$/, '.js')]) : '';
}

for (const [page, blocks] of [
  ['README.md', readme],
  ['docs/getting-started.md', gettingStarted],
  ['docs/neurons.md', neurons],
] as const) {
  test(`the code of ${page}`, async (t) => {
    const folder = project(page.replace('/', '-'));
    for (const [index, block] of blocks.entries()) {
      const known = ['sh', 'js', 'ts', 'json', 'toml', 'text'].includes(block.language);
      assert.ok(known, `${page}:${block.line}: a block of the language '${block.language}'`);
      if (block.language === 'text') {
        const isOutput = index > 0 && blocks[index - 1]!.output === block.text;
        assert.ok(isOutput || block.text === mistake, `${page}:${block.line}: text that nothing prints`);
        continue;
      }
      await t.test(`line ${block.line}: ${block.file || block.language}`, () => {
        const output = run(folder, block, index);
        if (block.output !== undefined) {
          assert.ok(
            matches(block.output, output),
            `the page says\n${block.output}\nbut it printed\n${output}`,
          );
        }
      });
    }
  });
}

test('the mistake that README.md shows is found where it says', () => {
  const folder = project('mistake');
  const toml = readme.find(({ file }) => file === 'digits.toml')?.text ?? '';
  assert.ok(readme.some(({ text }) => text === mistake));
  assert.ok(toml.includes('tau = 2.0'));
  writeFileSync(join(folder, 'digits.toml'), toml.replace('tau = 2.0', 'tau = 0.5'));
  const { status, stderr } = spawnSync(process.execPath, [cli, 'train', 'digits.toml'], {
    cwd: folder,
    encoding: 'utf8',
  });
  assert.deepEqual([status, stderr], [2, mistake]);
});

test('what a page says of an output is compared', () => {
  assert.ok(matches('a ... c\n', 'a b c\n'));
  assert.ok(!matches('a ... c\n', 'a b d\n'));
  assert.ok(matches('a\n...\nd\n', 'a\nb\nc\nd\n'));
  assert.ok(!matches('a\n...\nd\n', 'a\nb\nc\n'));
  assert.ok(!matches('a.c\n', 'abc\n'));
  const [first, second] = blocksOf('x\n\n```js f.js\n1;\n```\n\n```text\n1\n```\n') as [Block, Block];
  assert.deepEqual(first, { language: 'js', file: 'f.js', text: '1;\n', line: 3, output: '1\n' });
  assert.equal(second.output, undefined);
  assert.equal(blocksOf('```js\n```\nprose\n```text\n1\n```\n')[0]?.output, undefined);
});
