import { constants, copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { exitCodes } from './task.js';

const name = 'digits.toml';

/** Writes the example experiment into a folder, which is made; a file that is there stays. Returns the exit code. */
export function initExperiment(folder: string): number {
  const file = join(folder, name);
  try {
    mkdirSync(folder, { recursive: true });
    const example = fileURLToPath(new URL(`../../../examples/${name}`, import.meta.url));
    copyFileSync(example, file, constants.COPYFILE_EXCL);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    process.stderr.write(`error: ${code === 'EEXIST' ? `${file} exists already` : message}\n`);
    return exitCodes.failure;
  }
  process.stdout.write(`wrote ${file}; train it with: npx spikenode train ${file}\n`);
  return 0;
}
