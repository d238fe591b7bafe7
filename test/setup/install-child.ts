// Installs in a process of its own: the arguments are the release as JSON and where the process kills itself.
import { installLibtorch } from '../../lib/setup/install.js';
import type { Release } from '../../lib/setup/releases.js';

const release = JSON.parse(process.argv[2]!) as Release;
const end = process.argv[3];

async function main(): Promise<void> {
  const report = {
    say: (text: string): unknown => process.stdout.write(`${text}\n`),
    progress(step: string): void {
      if (end !== undefined && step.startsWith(end)) process.kill(process.pid, 'SIGKILL');
    },
  };
  const folder = await installLibtorch(release, { headers: false, force: false, from: null, report });
  process.stdout.write(`done ${folder}\n`);
}

void main();
