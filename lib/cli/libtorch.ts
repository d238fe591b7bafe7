import { styleText } from 'node:util';
import { type Command, Option } from 'commander';
import type { Report } from '../setup/gather.js';
import type { Release } from '../setup/releases.js';
import { errorEvent } from './failure.js';
import { exitCodes } from './task.js';

interface InstallFlags {
  readonly cpu?: true;
  readonly cuda?: string | true;
  readonly from?: string[];
  readonly headers?: true;
  readonly force?: true;
}

/** Lines on stderr, and for long steps a bar where there is a terminal, else a line for each tenth. */
async function stderrReport(): Promise<Report & { close(): void }> {
  const say = (text: string): void => {
    process.stderr.write(`${text}\n`);
  };
  if (!process.stderr.isTTY) {
    let shown = '';
    const progress: Report['progress'] = (step, done, total) => {
      const line = `${step}: ${10 * Math.floor((10 * done) / total)} %`;
      if (line !== shown) say(line);
      shown = line;
    };
    return { say, progress, close() {} };
  }
  const { default: cliProgress } = await import('cli-progress');
  const format = '  {bar} {percentage} %  {eta_formatted} left  {step}';
  const bar = new cliProgress.SingleBar({ format, hideCursor: true, clearOnComplete: true, barsize: 30 });
  let current = '';
  const close = (): void => {
    if (current !== '') bar.stop();
    current = '';
  };
  return {
    say(text) {
      close();
      say(text);
    },
    progress(step, done, total) {
      if (step !== current) {
        close();
        bar.start(total, done, { step });
        current = step;
      } else bar.update(done, { step });
    },
    close,
  };
}

/** Runs what a signal may interrupt; failures become a sentence and an exit code. */
async function perform(work: (signal: AbortSignal) => Promise<void>, interrupted: string): Promise<void> {
  const controller = new AbortController();
  let code: number | undefined;
  const stop = (signal: 'SIGINT' | 'SIGTERM'): void => {
    code ??= exitCodes[signal];
    controller.abort();
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    await work(controller.signal);
  } catch (error) {
    const event = code === undefined ? errorEvent(error) : { text: interrupted, code };
    process.stderr.write(
      `${process.stderr.isTTY && code === undefined ? styleText('red', event.text) : event.text}\n`,
    );
    process.exitCode = event.code;
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

const flavour = ({ id }: Release): string => id.slice(id.lastIndexOf('-') + 1);

async function chosenRelease({ cuda }: InstallFlags): Promise<Release> {
  const { releases } = await import('../setup/releases.js');
  const offered = releases.filter((release) => (cuda === undefined) === (release.cuda === null));
  const release = offered
    .filter((one) => cuda === undefined || cuda === true || flavour(one) === cuda)
    .at(-1);
  if (release !== undefined) return release;
  const { ConfigError } = await import('../errors.js');
  throw new ConfigError(['--cuda'], offered.map(flavour).join(' or '), `'${cuda}'`);
}

function install(flags: InstallFlags): Promise<void> {
  return perform(async (signal) => {
    const release = await chosenRelease(flags);
    const { installLibtorch } = await import('../setup/install.js');
    const { platformProblem } = await import('../native/platform.js');
    const problem = platformProblem();
    if (problem !== null && !flags.force) {
      const { SetupError } = await import('../errors.js');
      throw new SetupError(`${problem} To install it for another machine nevertheless, add --force.`);
    }
    const report = await stderrReport();
    const { headers = false, force = false, from = null } = flags;
    try {
      const folder = await installLibtorch(release, { headers, force, from, report, signal });
      report.close();
      process.stdout.write(`${release.id} is installed: ${folder}\n`);
    } finally {
      report.close();
    }
  }, 'interrupted; what was downloaded is kept, and the same command goes on with it');
}

/** One line for each copy that is there or can be had. */
function list({ json }: { readonly json?: true }): Promise<void> {
  return perform(async () => {
    const { releases } = await import('../setup/releases.js');
    const { listInstalled } = await import('../setup/installed.js');
    const { size } = await import('../setup/disk.js');
    const { choose } = await import('../native/choose.js');
    const used = choose().choice?.libtorch.folder;
    const installed = await listInstalled();
    for (const { id, folder, bytes, headers, whole } of installed) {
      if (json) print({ id, installed: true, folder, bytes, headers, whole, used: folder === used });
      else {
        const notes = [
          ...(folder === used ? ['in use'] : []),
          size(bytes),
          ...(headers ? ['with headers'] : []),
          ...(whole ? [] : ['damaged: install it again']),
        ];
        process.stdout.write(`${id}  installed (${notes.join(', ')})  ${folder}\n`);
      }
    }
    for (const { id, files } of releases) {
      if (installed.some((one) => one.id === id)) continue;
      const bytes = files.reduce((sum, file) => sum + file.size, 0);
      if (json) print({ id, installed: false, download: bytes });
      else process.stdout.write(`${id}  can be installed (${size(bytes)} to download)\n`);
    }
  }, 'interrupted');
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function remove(ids: string[], { all }: { readonly all?: true }, command: Command): Promise<void> | void {
  if (ids.length === 0 && !all)
    command.error("error: name what to remove (see 'spikenode libtorch list'), or --all");
  return perform(async () => {
    const { removeLibtorch } = await import('../setup/installed.js');
    await removeLibtorch(all ? null : ids, (text) => process.stderr.write(`${text}\n`));
  }, 'interrupted');
}

/** `spikenode libtorch`. */
export function addLibtorchCommand(spikenode: Command): void {
  const libtorch = spikenode.command('libtorch').description('install, list and remove copies of libtorch');
  libtorch
    .command('install')
    .description('download a libtorch and keep it for this user')
    .addOption(new Option('--cpu', 'for the processor alone (default)').conflicts('cuda'))
    .option('--cuda [version]', 'with CUDA, cu130 for instance; several GB')
    .option('--from <files...>', 'wheels that are here already, whatever their names')
    .option('--headers', 'with what a source build needs')
    .option('--force', 'also when it is installed already')
    .addHelpText(
      'after',
      '\nSPIKENODE_CACHE names the folder, SPIKENODE_MIRROR another server; HTTPS_PROXY and NO_PROXY are followed.',
    )
    .action(install);
  libtorch
    .command('list')
    .description('show what is installed and what can be')
    .option('--json', 'write one JSON object a line')
    .action(list);
  libtorch
    .command('remove')
    .description('remove installed copies')
    .argument('[id...]', 'as list shows them')
    .option('--all', 'all of them, and unfinished downloads')
    .action(remove);
}
