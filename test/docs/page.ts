/** A fenced block of a Markdown page. */
export interface Block {
  readonly language: string;
  /** The file's name behind the language, or ''. */
  readonly file: string;
  readonly text: string;
  /** Of the opening fence, from 1. */
  readonly line: number;
  /** A `text` block that stands directly below it: what the block prints. */
  readonly output?: string;
}

export function blocksOf(page: string): Block[] {
  const fences = [...page.matchAll(/^```(\S*) ?(.*)\n([\s\S]*?)^```$/gm)];
  return fences.map((fence, i) => {
    const [whole, language = '', file = '', text = ''] = fence;
    const next = fences[i + 1];
    const between = next && page.slice(fence.index + whole.length, next.index);
    const isOutput = language !== 'text' && next?.[1] === 'text' && between?.trim() === '';
    return {
      language,
      file,
      text,
      line: page.slice(0, fence.index).split('\n').length,
      ...(isOutput && { output: next[3] ?? '' }),
    };
  });
}

/** Whether an output is as a page says: `...` stands for anything in a line, on a line of its own for any lines. */
export function matches(expected: string, output: string): boolean {
  const pattern = expected
    .replace(/[\\^$*+?()[\]{}|]/g, '\\$&')
    .replace(/^\.\.\.\n/gm, '\u0000')
    .replaceAll('...', '\u0001')
    .replaceAll('.', '\\.')
    .replaceAll('\u0000', '(?:.*\n)*')
    .replaceAll('\u0001', '.*');
  return new RegExp(`^${pattern}$`).test(output);
}
