import { spawnSync } from 'node:child_process';
import { statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../lib/native/platform.js';

/** What the kernels cost to build: their number, the library's size, and a rebuild after a change of a neuron. */
export function benchBuild(): void {
  const build = join(packageRoot(), 'build');
  const library = join(build, 'Release', 'libspikenode.so');
  const isas = ['baseline', 'avx2', 'avx512'];
  for (const isa of isas) {
    const folder = join(build, 'CMakeFiles', `kernels_${isa}.dir`, 'native', 'cpu');
    const objects = ['integrate_fire', 'lif', 'surrogates'].map((name) => join(folder, `${name}.cc.o`));
    const { stdout, status } = spawnSync('nm', ['-C', '--defined-only', ...objects], { encoding: 'utf8' });
    if (status !== 0) continue;
    const count = (pattern: RegExp): number => stdout.split('\n').filter((line) => pattern.test(line)).length;
    const [plain, general] = [count(/::(forward|backward)</), count(/::general_(forward|backward)</)];
    console.log(`${isa}: ${plain} plain and ${general} general kernels`);
  }
  console.log(`libspikenode.so: ${(statSync(library).size / 2 ** 20).toFixed(1)} MiB`);
  const header = join(packageRoot(), 'native', 'neuron', 'lif.h');
  const now = new Date();
  utimesSync(header, now, now);
  const start = performance.now();
  const { status } = spawnSync('cmake', ['--build', build, '--parallel', '2', '--target', 'spikenode']);
  if (status !== 0) throw new Error('the build failed');
  console.log(
    `rebuild after touching neuron/lif.h: ${((performance.now() - start) / 1000).toFixed(1)} s (aim 30)`,
  );
}
