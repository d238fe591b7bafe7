import { readFileSync } from 'node:fs';
import { ConfigError } from '../errors.js';
import { checkComponents, type Experiment } from './check.js';
import { asWritten, checkFormat } from './format.js';
import { located } from './locate.js';
import { importPlugins } from './plugins.js';
import { readDocument } from './source.js';

/**
 * Checks an experiment completely: syntax, fixed part, and the kinds and parameters of all components. The user's
 * modules (`bench.plugins`) are imported for it, nothing else is run, and libtorch is not loaded.
 * @param text the experiment in TOML
 * @param file its name, for messages and for relative paths
 * @param overrides as on the command line: `--model.0.epochs=3`
 * @throws ConfigError for the first thing that is wrong, with its place
 */
export async function checkExperiment(
  text: string,
  file: string,
  overrides: readonly string[] = [],
): Promise<Experiment> {
  const document = await readDocument(text, file, overrides);
  try {
    const config = checkFormat(document.tables);
    await importPlugins(config.bench.plugins, file);
    const experiment = checkComponents(config, document.tables, file);
    return { ...experiment, locate: (error) => located(asWritten(error, document.tables), document) };
  } catch (error) {
    throw error instanceof ConfigError ? await located(error, document) : error;
  }
}

/** `checkExperiment` of a file. @throws ConfigError */
export async function readExperiment(file: string, overrides: readonly string[] = []): Promise<Experiment> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new ConfigError([file], 'an experiment file', code === 'ENOENT' ? 'no such file' : message);
  }
  return checkExperiment(text, file, overrides);
}
