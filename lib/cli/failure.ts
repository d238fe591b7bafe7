import { fileURLToPath } from 'node:url';
import { exitCodes, type WorkerEvent } from './task.js';

/** How an error is told to the user, without a stack trace, and the exit code that goes with it. */
export function errorEvent(error: unknown): Extract<WorkerEvent, { event: 'error' }> {
  const { code, message, name, stack } =
    error instanceof Error
      ? (error as NodeJS.ErrnoException)
      : {
          code: undefined,
          message: String(error),
          name: 'error',
          stack: undefined,
        };
  if (code === 'ERR_SPIKENODE_CONFIG') return { event: 'error', text: message, code: exitCodes.usage };
  if (code?.startsWith('ERR_SPIKENODE_')) {
    return { event: 'error', text: `error: ${message}`, code: exitCodes.failure };
  }
  const place = usersFrame(stack);
  const text = `error: ${name}: ${message}${place ? ` (at ${place})` : ''}`;
  return { event: 'error', text, code: exitCodes.failure };
}

// Where in a user's module an error came from, which is the one thing about it that its text does not say.
function usersFrame(stack: string | undefined): string | undefined {
  const own = new URL('../', import.meta.url).href;
  for (const line of stack?.split('\n').slice(1) ?? []) {
    const found = /\(?(file:\/\/[^)\s]+):(\d+):(\d+)\)?$/.exec(line);
    if (!found) continue;
    const [, url = '', row, column] = found;
    if (!url.startsWith(own) && !url.includes('/node_modules/'))
      return `${fileURLToPath(url)}:${row}:${column}`;
  }
  return undefined;
}
