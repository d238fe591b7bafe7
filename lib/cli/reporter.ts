import { styleText } from 'node:util';
import type { SingleBar } from 'cli-progress';
import type { StepMemory } from '../training/step-memory.js';
import type { Reporter } from './session.js';
import type { MemoryInfo, ModelInfo, WorkerEvent } from './task.js';

type Style = Parameters<typeof styleText>[0];
type EventOf<E extends WorkerEvent['event']> = Extract<WorkerEvent, { event: E }>;

// In the order in which they are shown.
const memoryParts: readonly (keyof StepMemory)[] = [
  'parameters',
  'buffers',
  'gradients',
  'optimizer',
  'states',
  'batch',
  'activations',
  'workspace',
  'peak',
];

/** One JSON object a line for all that happens; errors and notes in words on stderr. */
export function jsonReporter(): Reporter {
  return {
    show(event) {
      if (event.event === 'error') process.stderr.write(`${event.text}\n`);
      else if (event.event === 'note') process.stderr.write(`note: ${event.text}\n`);
      else process.stdout.write(`${JSON.stringify(event)}\n`);
    },
    close() {},
  };
}

/** Lines for people, with a progress bar if `bar` is given. */
export function textReporter(bar: SingleBar | null): Reporter {
  return new TextReporter(bar);
}

/** A bar on stderr for the steps of a training. */
export async function progressBar(): Promise<SingleBar> {
  // Loaded only where there is a terminal.
  const { default: progress } = await import('cli-progress');
  const format = '  {bar} epoch {epoch}/{epochs}  loss {loss}  {eta_formatted} left';
  return new progress.SingleBar({ format, hideCursor: true, clearOnComplete: true, barsize: 30 });
}

// A wider matrix is no table that one can read.
const largestMatrix = 20;

class TextReporter implements Reporter {
  readonly #bar: SingleBar | null;
  #started = 0;
  readonly #accuracies: { readonly model: string; readonly value: number }[] = [];
  #model = '';

  constructor(bar: SingleBar | null) {
    this.#bar = bar;
  }

  show(event: WorkerEvent): void {
    if (event.event !== 'step' && event.event !== 'epoch') this.#hideBar();
    switch (event.event) {
      case 'note':
        this.#error(`note: ${event.text}`, 'dim');
        break;
      case 'error':
        this.#error(event.text, 'red');
        break;
      case 'start':
        this.#start(event);
        break;
      case 'resume':
        this.#resume(event);
        break;
      case 'skip':
        this.#skip(event);
        break;
      case 'early-stop':
        this.#print(`stopped early after epoch ${event.epoch}`);
        break;
      case 'how-to-resume':
        this.#print(`to go on: ${event.command}`);
        break;
      case 'step':
        this.#step(event);
        break;
      case 'epoch':
        this.#epoch(event);
        break;
      case 'evaluation':
        this.#evaluation(event);
        break;
      case 'end':
        if (event.interrupted) this.#print(`interrupted; what was learned is in ${event.folder}`);
        break;
      case 'model':
        this.#info(event);
        break;
      case 'memory':
        this.#memory(event);
        break;
      case 'prediction':
        this.#print(`${event.class}`);
        break;
    }
  }

  close(): void {
    this.#hideBar();
    for (const model of new Set(this.#accuracies.map((one) => one.model))) {
      const values = this.#accuracies.filter((one) => one.model === model).map((one) => one.value);
      if (values.length < 2) continue;
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const name = this.#accuracies.some((one) => one.model !== model) ? `${model}: ` : '';
      const range = `${percent(Math.min(...values))} to ${percent(Math.max(...values))}`;
      const all = `mean of ${values.length} runs, ${range}`;
      this.#print(`${name}test accuracy: ${percent(mean)} (${all})`, 'bold');
    }
  }

  #start({ model, run, seed, folder, parameters, device }: EventOf<'start'>): void {
    this.#model = model;
    const place = device === 'cpu' ? '' : `on ${device}, `;
    this.#print(`${model}, run ${run}: ${parameters} parameters, seed ${seed}, ${place}in ${folder}`);
  }

  #resume({ epochs, batches, notes }: EventOf<'resume'>): void {
    const place = batches === 0 ? `epoch ${epochs}` : `batch ${batches} of epoch ${epochs + 1}`;
    this.#print(`going on after ${place}`);
    for (const note of notes) this.#error(`note: ${note}`, 'dim');
  }

  #skip({ model, run, folder, metrics }: EventOf<'skip'>): void {
    this.#print(`${model}, run ${run}: finished already, in ${folder}`);
    const value = metrics['test_acc'];
    if (value !== undefined) this.#accuracies.push({ model, value });
  }

  #step({ epoch, epochs, step, steps, loss }: EventOf<'step'>): void {
    if (!this.#bar) return;
    const done = (epoch - 1) * steps + step;
    const payload = { epoch, epochs, loss: loss.toFixed(4) };
    if (this.#started === 0) this.#bar.start(epochs * steps, done, payload);
    else this.#bar.update(done, payload);
    this.#started = done;
  }

  #epoch({ epochs, metrics }: EventOf<'epoch'>): void {
    if (this.#started > 0) return;
    const { epoch } = metrics;
    const count = `${epoch}`.padStart(`${epochs}`.length);
    const parts = ['train', 'val'].flatMap((part) => measured(part, metrics).map((text) => `  ${text}`));
    this.#print(`epoch ${count}/${epochs}${parts.join('')}`);
  }

  #evaluation({ part, metrics }: EventOf<'evaluation'>): void {
    const prefix = part === 'valid' ? 'val' : part;
    const accuracy = metrics[`${prefix}_acc`];
    const loss = metrics[`${prefix}_loss`];
    if (loss !== undefined) this.#print(`${part} loss: ${loss.toFixed(4)}`);
    if (accuracy !== undefined) {
      this.#print(`${part} accuracy: ${percent(accuracy)}`, part === 'test' ? 'bold' : undefined);
      if (part === 'test') this.#accuracies.push({ model: this.#model, value: accuracy });
    }
    // After a training that of the test alone.
    if (metrics.cm && (part === 'test' || this.#model === '')) this.#confusion(part, metrics.cm);
  }

  #confusion(part: string, cm: readonly (readonly number[])[]): void {
    if (cm.length > largestMatrix) return;
    this.#print(`${part} confusion matrix (a row for each true class, a column for each predicted one):`);
    const classes = cm.map((_, i) => `${i}`);
    const rows = cm.map((row, i) => [`${i}`, ...row.map(String)]);
    this.#table([['', ...classes], ...rows], 0);
  }

  #info({ name, kind, timesteps, inputShape, outputShape, layers, parameters }: ModelInfo): void {
    this.#print(`${name}: ${kind}, ${timesteps} time steps, [${inputShape}] -> [${outputShape}]`, 'bold');
    const rows = layers.map((layer) => [
      layer.name || '(model)',
      layer.kind,
      layer.shape ? `[${layer.shape.join(', ')}]` : '-',
      `${layer.parameters}`,
    ]);
    this.#table([['layer', 'class', 'output of one sample', 'parameters'], ...rows], 3);
    this.#print(`  ${parameters} parameters`);
  }

  #memory({ batchSize, measured, predicted }: MemoryInfo): void {
    const columns = (['training', 'evaluation'] as const).flatMap((work) => {
      const [found, expected] = [measured[work], predicted[work]];
      if (found === null || expected === null) return [];
      const name = work === 'training' ? 'training step' : work;
      return [
        { name, of: (part: keyof StepMemory) => size(found[part]) },
        { name: 'predicted', of: (part: keyof StepMemory) => size(expected[part]) },
      ];
    });
    const rows = memoryParts.map((part) => [part, ...columns.map(({ of }) => of(part))]);
    this.#table([[`memory, ${batchSize} samples`, ...columns.map(({ name }) => name)], ...rows], 1);
  }

  // Columns from `numbers` on are aligned to the right.
  #table(rows: readonly (readonly string[])[], numbers: number): void {
    const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
    for (const row of rows) {
      const cells = row.map((text, i) =>
        i >= numbers ? text.padStart(widths[i]!) : text.padEnd(widths[i]!),
      );
      this.#print(`  ${cells.join('  ')}`);
    }
  }

  #hideBar(): void {
    if (this.#started > 0) this.#bar?.stop();
    this.#started = 0;
  }

  #print(text: string, style?: Style): void {
    process.stdout.write(`${styled(process.stdout, text, style)}\n`);
  }

  #error(text: string, style: Style): void {
    process.stderr.write(`${styled(process.stderr, text, style)}\n`);
  }
}

function measured(part: string, metrics: Readonly<Record<string, number>>): string[] {
  const loss = metrics[`${part}_loss`];
  const accuracy = metrics[`${part}_acc`];
  const name = part === 'train' ? '' : `${part} `;
  return [
    ...(loss === undefined ? [] : [`${name}loss ${loss.toFixed(4)}`]),
    ...(accuracy === undefined ? [] : [`${name}accuracy ${percent(accuracy)}`]),
  ];
}

function size(bytes: number): string {
  if (bytes < 2 ** 20) return `${(bytes / 2 ** 10).toFixed(1)} KiB`;
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

function styled(stream: NodeJS.WriteStream, text: string, style: Style | undefined): string {
  const plain = style === undefined || !stream.isTTY || process.env['NO_COLOR'] !== undefined;
  return plain ? text : styleText(style, text);
}
