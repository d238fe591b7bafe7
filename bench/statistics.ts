/** The value below which a part q of the values lies. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.round(q * (sorted.length - 1))] as number;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** "1.15 (1.12 to 1.19)": median and quartiles. */
export function quartiles(values: readonly number[], digits: number = 2): string {
  const at = (q: number): string => quantile(values, q).toFixed(digits);
  return `${at(0.5)} (${at(0.25)} to ${at(0.75)})`;
}
