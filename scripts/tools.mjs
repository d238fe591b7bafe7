// What checks, publishes and documents a release (scripts/tools/package.json): many packages that neither a build nor
// the tests need, so they are installed only when a script asks for one.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = join(dirname(fileURLToPath(import.meta.url)), 'tools');

/** The path of a command of the tools, which are installed first where they are missing. */
export function tool(name) {
  const marker = join(folder, 'node_modules', '.package-lock.json');
  const lock = join(folder, 'package-lock.json');
  if (!existsSync(marker) || statSync(marker).mtimeMs < statSync(lock).mtimeMs) {
    const result = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: folder,
      stdio: ['ignore', 2, 2],
    });
    if (result.status !== 0) throw new Error(`the tools in '${folder}' could not be installed`);
  }
  return join(folder, 'node_modules', '.bin', name);
}
