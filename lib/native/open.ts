import { realpathSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { NativeLoadError } from '../errors.js';
import type { Addon } from './addon.js';
import type { Binaries } from './binaries.js';
import type { Choice } from './choose.js';
import { reinstall } from './explain.js';
import { librariesOf, mustBeSingle } from './libraries.js';
import { minorOf } from './libtorch.js';

interface Loader {
  /** Opens a shared library; null, or the dynamic linker's message. */
  open(path: string): string | null;
  /** Path and `device:inode` of every shared object of the process. */
  loaded(): [string, string][];
}

function identity(path: string): string {
  const file = statSync(realpathSync(path), { bigint: true });
  return `${file.dev}:${file.ino}`;
}

/** Loads an addon; what the dynamic linker or Node.js refuses becomes a sentence. */
function requireAddon<T>(binaries: Binaries, name: string): T {
  const file = join(binaries.folder, name);
  try {
    return createRequire(import.meta.url)(file) as T;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // The addon's own word on a variable: the file is not at fault.
    const variable = /^spikenode: (SPIKENODE_\w+) must be /.exec(message)?.[1];
    if (variable !== undefined)
      throw new NativeLoadError(`${message.replace(/^spikenode: /, '')}. Correct it, or unset ${variable}`);
    const cure =
      code === 'ERR_DLOPEN_DISABLED'
        ? "This process may not load native code: start Node.js with '--allow-addons', and without '--no-addons'."
        : reinstall(binaries);
    throw new NativeLoadError(
      `'${file}' (${binaries.origin}) could not be loaded: ${message.replace(/\.$/, '')}. ${cure}`,
    );
  }
}

/** Whether this process, another environment of it perhaps, has opened these binaries before. */
export function isLoaded({ binaries }: Choice): boolean {
  const id = identity(join(binaries.folder, 'libspikenode.so'));
  return requireAddon<Loader>(binaries, 'loader.node')
    .loaded()
    .some(([, loaded]) => loaded === id);
}

/** Opens one library, unless the process has it or, where any copy serves, another of its name. */
function open(loader: Loader, path: string, choice: Choice): void {
  const name = basename(path);
  const other = loader.loaded().find(([loaded, id]) => basename(loaded) === name && id !== identity(path));
  if (other !== undefined && !mustBeSingle(path)) return;
  if (other !== undefined)
    throw new NativeLoadError(
      `${name} is already in this process from '${other[0]}', so '${path}' cannot be loaded too. ` +
        `Use one copy of spikenode, and set SPIKENODE_LIBTORCH to the libtorch that is already loaded.`,
    );
  const failure = loader.open(path);
  if (failure === null) return;
  const { binaries, libtorch } = choice;
  const owner = path.startsWith(`${binaries.folder}/`) ? binaries : libtorch;
  throw new NativeLoadError(
    `'${path}' (${owner.origin}) could not be opened: ${failure}. ${reinstall(owner)}`,
  );
}

/**
 * Opens everything of a choice and loads the addon.
 * @throws NativeLoadError that names the file at fault
 */
export function openChoice(choice: Choice): Addon {
  const { binaries, libtorch } = choice;
  const loader = requireAddon<Loader>(binaries, 'loader.node');
  for (const path of librariesOf(choice)) open(loader, path, choice);
  const addon = requireAddon<Addon>(binaries, 'spikenode.node');
  if (minorOf(addon.version()) !== minorOf(binaries.torch))
    throw new NativeLoadError(
      `libtorch in '${libtorch.folder}' (${libtorch.origin}) is torch ${addon.version()}, and the native files of spikenode in ` +
        `'${binaries.folder}' are for ${binaries.torch}. Cure: 'npx spikenode build --libtorch "${libtorch.folder}"'.`,
    );
  if (!addon.registered())
    throw new NativeLoadError(
      'another copy of spikenode registered its operators in this process first; use one copy',
    );
  return addon;
}
