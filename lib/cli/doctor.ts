import { styleText } from 'node:util';
import type { CheckState, DoctorReport } from '../setup/doctor.js';
import { doctor } from '../setup/doctor.js';
import { exitCodes } from './task.js';

const colours = { ok: 'green', note: 'yellow', problem: 'red' } as const;

/** The report in lines for people; with `colour` for a terminal. */
export function renderReport(report: DoctorReport, colour: boolean): string {
  const marked = (state: CheckState, text: string): string =>
    colour ? styleText(colours[state], text, { validateStream: false }) : text;
  const width = Math.max(...report.checks.map(({ topic }) => topic.length));
  const lines = report.checks.flatMap(({ topic, state, text, cure }) => [
    `${marked(state, state.padEnd(7))}  ${topic.padEnd(width)}  ${text}`,
    ...(cure === null ? [] : [`${' '.repeat(9 + width)}  cure: ${cure}`]),
  ]);
  const { length: problems } = report.checks.filter(({ state }) => state === 'problem');
  const count = problems === 0 ? '' : `; ${problems} ${problems === 1 ? 'problem' : 'problems'}`;
  const verdict = report.works ? `Computing works here${count}.` : `Computing does not work here${count}.`;
  return `${[...lines, '', marked(report.works ? 'ok' : 'problem', verdict)].join('\n')}\n`;
}

/** `spikenode doctor`; returns the exit code. */
export function runDoctor(json: boolean): number {
  const report = doctor();
  const colour = Boolean(process.stdout.isTTY) && !process.env['NO_COLOR'];
  process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : renderReport(report, colour));
  return report.works ? 0 : exitCodes.failure;
}
