import { type Command, InvalidArgumentError } from 'commander';
import { errorEvent } from './failure.js';

interface BuildFlags {
  readonly libtorch?: string;
  readonly cuda?: true;
  readonly jobs?: number;
  readonly force?: true;
}

function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError('A whole number from 1 on is expected.');
  return Number(text);
}

async function perform(flags: BuildFlags): Promise<void> {
  try {
    const { build } = await import('../setup/build.js');
    await build({ ...flags, say: (line) => void process.stderr.write(`${line}\n`) });
  } catch (error) {
    const { text, code } = errorEvent(error);
    process.stderr.write(`${text}\n`);
    process.exitCode = code;
  }
}

/** Adds `spikenode build`; with the parent's way of ending, which a command made apart would not have. */
export function addBuildCommand(program: Command): void {
  program
    .command('build')
    .description('compile the native libraries from source, for a libtorch that no published ones fit')
    .option('--libtorch <folder>', 'with lib/ and include/; by default the first one found that has headers')
    .option('--cuda', 'the CUDA kernels too')
    .option('--jobs <number>', 'compilers at once; by default one for each processor', positiveInteger)
    .option('--force', 'try a torch minor that the sources were not written for')
    .action(perform);
}
