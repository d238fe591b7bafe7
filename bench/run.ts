/** `npm run bench [neurons | bridge | static | loading | step | build | startup | cuda]`: every number that docs/performance.md publishes. */
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { choose } from '../lib/native/choose.js';
import { packageRoot } from '../lib/native/platform.js';
import { benchBridge } from './bridge.js';
import { benchBuild } from './build.js';
import { benchCuda } from './cuda.js';
import { benchLoading } from './loading.js';
import { benchStartup } from './startup.js';
import { benchStaticInput } from './static-input.js';
import { benchStep } from './step.js';

const asked = process.argv.slice(2);
const wants = (name: string): boolean => asked.length === 0 || asked.includes(name);

async function main(): Promise<void> {
  console.log(
    `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} processors, Node ${process.version}`,
  );
  if (wants('neurons')) {
    const folder = join(packageRoot(), 'build', 'Release');
    const program = join(folder, 'bench_neurons');
    const libraries = `${choose().choice?.libtorch.folder ?? ''}/lib:${folder}`;
    const result = spawnSync(program, [], {
      stdio: 'inherit',
      env: { ...process.env, LD_LIBRARY_PATH: libraries },
    });
    if (result.status !== 0) throw new Error(`bench_neurons ended with ${result.status ?? result.signal}`);
  }
  if (wants('bridge')) await benchBridge();
  if (wants('step')) await benchStep();
  if (wants('static')) benchStaticInput();
  if (wants('loading')) await benchLoading();
  if (wants('build')) benchBuild();
  if (wants('startup')) benchStartup();
  if (wants('cuda')) benchCuda();
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
