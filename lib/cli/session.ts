import { Worker } from 'node:worker_threads';
import { errorEvent } from './failure.js';
import { exitCodes, type Task, type WorkerEvent } from './task.js';

/** Shows what a worker tells. */
export interface Reporter {
  show(event: WorkerEvent): void;
  /** Nothing more comes; the terminal is left as it was. */
  close(): void;
}

/**
 * Has a task done in a thread of its own, while this one has the terminal and the signals. The first SIGINT or SIGTERM
 * has the step finished and what was learned written; a second ends the process at once.
 * @returns the exit code
 */
export function runTask(task: Task, reporter: Reporter): Promise<number> {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: task });
  let code = 0;
  let stopped = 0;
  const onSignal = (signal: 'SIGINT' | 'SIGTERM'): void => {
    if (stopped !== 0) {
      reporter.close();
      process.exit(exitCodes[signal]);
    }
    stopped = exitCodes[signal];
    reporter.show({ event: 'note', text: `${signal}: finishing the step; once more ends at once` });
    worker.postMessage('stop');
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  const show = (event: WorkerEvent): void => {
    if (event.event === 'error') code = event.code;
    reporter.show(event);
  };
  worker.on('message', show);
  worker.on('error', (error) => show(errorEvent(error)));
  return new Promise((resolve) => {
    worker.on('exit', (left) => {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
      if (code === 0 && left !== 0) {
        show({
          event: 'error',
          text: `error: the worker ended with exit code ${left}`,
          code: exitCodes.failure,
        });
      }
      reporter.close();
      resolve(code || stopped);
    });
  });
}
