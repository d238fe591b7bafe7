import { parentPort, workerData } from 'node:worker_threads';
import { errorEvent } from './failure.js';
import type { Task, WorkerEvent } from './task.js';

// The thread that computes. The main thread sends one message, of any content, to have it stop.

async function work(task: Task, send: (event: WorkerEvent) => void, signal: AbortSignal): Promise<void> {
  // Loaded here, so that a failure to load anything is reported like any other.
  const commands = await import('./commands.js');
  switch (task.command) {
    case 'train':
      return commands.train(task, send, signal);
    case 'evaluate':
      return commands.evaluateRun(task, send, signal);
    case 'predict':
      return commands.predictFile(task, send, signal);
    case 'info':
      return commands.info(task, send);
  }
}

const port = parentPort!;
const stop = new AbortController();
port.on('message', () => stop.abort());
// The listener alone does not keep the thread going.
port.unref();
const send = (event: WorkerEvent): void => port.postMessage(event);
work(workerData as Task, send, stop.signal).catch((error: unknown) => {
  if (!stop.signal.aborted || error !== stop.signal.reason) send(errorEvent(error));
});
