// Compiles every CUDA kernel with warnings as errors and prints the resources of those that spill registers, with
// --all of all of them; for sm_80, 90, 100 and 120, or those named: compile-cuda.mjs 75 86. Needs nvcc, but neither a GPU
// nor libtorch.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const options = [
  '-std=c++17',
  '-O3',
  '--fmad=false',
  '-Werror=all-warnings',
  '-Xcompiler=-Wall,-Werror',
  '-DSPIKENODE_ISA=cuda_device',
  `-I${join(root, 'native')}`,
  '-Xptxas=-v',
];
const named = process.argv.slice(2).filter((word) => /^\d+$/.test(word));
const architectures = named.length > 0 ? named : ['80', '90', '100', '120'];

/** Registers and spills of every kernel in the assembler's report. */
function report(text, file) {
  const rows = [];
  let kernel = '';
  let architecture = '';
  let spills = '';
  for (const line of text.split('\n')) {
    const entry = line.match(/Compiling entry function '(\w+)' for '(\w+)'/);
    if (entry) [, kernel, architecture] = entry;
    const memory = line.match(/(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/);
    if (memory && kernel) spills = `stack ${memory[1]}, spill ${memory[2]} + ${memory[3]}`;
    const registers = line.match(/Used (\d+) registers/);
    if (!registers || !kernel) continue;
    rows.push({ file, kernel, architecture, registers: Number(registers[1]), spills });
    kernel = '';
  }
  return rows;
}

/** Names as a reader knows them, where the toolkit's demangler is there. */
function demangled(names) {
  const result = spawnSync('c++filt', [], { input: names.join('\n'), encoding: 'utf8' });
  return result.status === 0 ? result.stdout.trimEnd().split('\n') : names;
}

const scratch = mkdtempSync(join(tmpdir(), 'spikenode-cuda-'));
try {
  const rows = [];
  for (const file of readdirSync(join(root, 'native', 'cuda')).filter((name) => name.endsWith('.cu'))) {
    const targets = architectures.map((number) => `-gencode=arch=compute_${number},code=sm_${number}`);
    const source = join(root, 'native', 'cuda', file);
    const object = join(scratch, `${file}.o`);
    const result = spawnSync('nvcc', [...options, ...targets, '-c', source, '-o', object], {
      encoding: 'utf8',
    });
    if (result.status !== 0) {
      console.error(result.error?.message ?? `${result.stdout}${result.stderr}`);
      process.exitCode = 1;
    }
    rows.push(...report(`${result.stdout}${result.stderr}`, file));
  }
  const names = demangled(rows.map((row) => row.kernel));
  rows.forEach((row, i) => {
    if (row.spills.endsWith('spill 0 + 0') && !process.argv.includes('--all')) return;
    const name = names[i].replaceAll('spikenode::', '').replaceAll('cuda_device::', '').replace(/\(.*/, '');
    console.log(`${row.architecture} ${String(row.registers).padStart(3)} registers, ${row.spills}  ${name}`);
  });
  const spilling = rows.filter((row) => !row.spills.endsWith('spill 0 + 0'));
  const failed = process.exitCode === 1;
  console.log(
    `cuda: ${rows.length} kernels ${failed ? 'FAILED' : 'compiled without warnings'}, ${spilling.length} with spills`,
  );
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
