import { existsSync } from 'node:fs';
import { dirname, extname, isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ConfigError } from '../errors.js';

/** Whether an entry of `bench.plugins` is a module file; other names are those of Python packages. */
export function isPluginFile(name: string): boolean {
  return /^\.{1,2}[/\\]/.test(name) || isAbsolute(name) || ['.js', '.mjs', '.cjs'].includes(extname(name));
}

/**
 * Imports the user's modules, which call `registerModel` and `registerNeuron`. Paths are relative to the folder of
 * the experiment's file. A module that was imported before is not run again.
 * @throws ConfigError for a file that does not exist; whatever a module throws
 */
export async function importPlugins(plugins: readonly string[], experimentFile: string): Promise<void> {
  for (const [index, name] of plugins.entries()) {
    if (!isPluginFile(name)) continue;
    const path = ['bench', 'plugins', index];
    const file = pluginFile(name, experimentFile);
    if (!existsSync(file))
      throw new ConfigError(path, 'a module file', `${JSON.stringify(name)}, which does not exist`);
    try {
      await import(pathToFileURL(file).href);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      throw new ConfigError(path, error.expected, `${error.got} (${error.path.join('.')})`);
    }
  }
}

/** The absolute path of a plugin. */
export function pluginFile(name: string, experimentFile: string): string {
  return isAbsolute(name) ? name : resolve(join(dirname(experimentFile), name));
}
