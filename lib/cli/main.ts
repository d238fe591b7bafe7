#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { addBuildCommand } from './build.js';
import { initExperiment } from './init.js';
import { addLibtorchCommand } from './libtorch.js';
import { jsonReporter, progressBar, textReporter } from './reporter.js';
import { runTask } from './session.js';
import { exitCodes, type Task } from './task.js';

interface Output {
  readonly json?: boolean;
}

const json = (): Option => new Option('--json', 'write one JSON object a line');
const overridesHelp = `
Values of the file can be overridden: --model.0.epochs=3 --dataset.params.split=ordered
A value is a TOML literal, True, False or None; any other word is a string.`;

async function perform(task: Task, { json: wantsJson }: Output): Promise<void> {
  const showsBar = task.command === 'train' && task.steps;
  const reporter = wantsJson ? jsonReporter() : textReporter(showsBar ? await progressBar() : null);
  process.exitCode = await runTask(task, reporter);
}

function program(): Command {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const spikenode = new Command('spikenode')
    .description('Train spiking neural networks that are described in TOML files.')
    .version(version)
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 failure, 2 wrong configuration or usage, 130 and 143 stopped by a signal.',
    )
    .showHelpAfterError('(spikenode --help lists the commands)')
    .exitOverride();

  spikenode
    .command('train')
    .description('train the models of an experiment')
    .argument('<file>', 'the experiment')
    .argument('[overrides...]', '--PATH=VALUE')
    .option('--runs <folder>', 'where the folders of runs are made', 'runs')
    .option('--resume [folder]', 'go on with a run that was stopped; without its folder, the last one')
    .addOption(json())
    .allowUnknownOption()
    .addHelpText('after', overridesHelp)
    .action(
      (file: string, overrides: string[], options: Output & { runs: string; resume?: string | true }) => {
        const steps = Boolean(process.stdout.isTTY && process.stderr.isTTY && !options.json);
        const { runs: folder, resume = false } = options;
        return perform({ command: 'train', file, overrides, folder, resume, steps }, options);
      },
    );
  spikenode
    .command('evaluate')
    .description('measure a trained model')
    .argument('<run>', 'the folder of a run')
    .addOption(
      new Option('--part <part>', 'part of the data').choices(['train', 'valid', 'test']).default('test'),
    )
    .addOption(json())
    .action((run: string, options: Output & { part: string }) =>
      perform({ command: 'evaluate', run, part: options.part }, options),
    );
  spikenode
    .command('predict')
    .description('print the class of each sample of a file')
    .argument('<run>', 'the folder of a run')
    .argument('<file>', 'samples: .json, .csv or IDX, in the units of the data set')
    .addOption(json())
    .action((run: string, file: string, options: Output) =>
      perform({ command: 'predict', run, file }, options),
    );
  spikenode
    .command('info')
    .description('show the layers of the models of an experiment')
    .argument('<file>', 'the experiment')
    .argument('[overrides...]', '--PATH=VALUE')
    .option('--memory', 'measure what a training step and an evaluation of one batch take')
    .addOption(json())
    .allowUnknownOption()
    .addHelpText('after', overridesHelp)
    .action((file: string, overrides: string[], options: Output & { memory?: boolean }) =>
      perform({ command: 'info', file, overrides, memory: options.memory ?? false }, options),
    );
  spikenode
    .command('init')
    .description('write an example experiment')
    .argument('[folder]', 'where', '.')
    .action((folder: string) => {
      process.exitCode = initExperiment(folder);
    });
  addBuildCommand(spikenode);
  addLibtorchCommand(spikenode);
  spikenode
    .command('doctor')
    .description('show what computing needs, what is here of it, and how to get the rest')
    .option('--json', 'write the report as one JSON object')
    .action(async (options: Output) => {
      const { runDoctor } = await import('./doctor.js');
      process.exitCode = runDoctor(options.json ?? false);
    });
  return spikenode;
}

async function main(): Promise<void> {
  // A reader that has enough, like `head`, is not an error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    process.stderr.write(`error: the output cannot be written (${error.code})\n`);
    process.exit(exitCodes.failure);
  });
  try {
    await program().parseAsync();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    process.exitCode = error.exitCode === 0 ? 0 : exitCodes.usage;
  }
}

void main();
