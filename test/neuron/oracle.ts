// The neurons as a composition of libtorch's operators in float64, written from their equations: what the fused
// operators must equal. Nothing of the library's own neurons or surrogates is used.
import { exp, noGrad, stack, type Tensor, where } from '../../lib/tensor/index.js';

type Slope = (u: Tensor) => Tensor;

const sigmoidSlope = (u: Tensor, alpha: number): Tensor => {
  const y = u.mul(alpha).sigmoid();
  return y.mul(y.neg().add(1)).mul(alpha);
};
const constant = (u: Tensor, value: number): Tensor => u.mul(0).add(value);

/** Derivatives of the surrogates with their default parameters. */
export const slopes: Readonly<Record<string, Slope>> = {
  Sigmoid: (u) => sigmoidSlope(u, 4),
  ATan: (u) => u.mul(Math.PI).square().add(1).reciprocal(),
  PiecewiseQuadratic: (u) => u.abs().neg().add(1).clamp(0),
  PiecewiseExp: (u) => exp(u.abs().neg()).mul(0.5),
  SoftSign: (u) => u.abs().add(0.5).square().mul(4).reciprocal(),
  SuperSpike: (u) => u.abs().add(1).square().reciprocal(),
  Erf: (u) => exp(u.square().mul(-4)).mul(2 / Math.sqrt(Math.PI)),
  NonzeroSignLogAbs: (u) => u.abs().add(1).reciprocal(),
  PiecewiseLeakyReLU: (u) => where(u.abs().lt(1), constant(u, 0.5), constant(u, 0.01)),
  SquarewaveFourierSeries: (u) =>
    u
      .mul((2 * Math.PI) / 8)
      .cos()
      .mul(0.5),
  S2NN: (u) => where(u.lt(0), sigmoidSlope(u, 4), u.add(1).reciprocal()),
  QPseudoSpike: (u) => u.abs().mul(2).add(1).square().reciprocal(),
  LeakyKReLU: (u) => where(u.ge(0), constant(u, 1), constant(u, 0)),
  FakeNumericalGradient: (u) => u.abs().reciprocal().clamp(null, 0.3),
  LogTailedReLU: (u) => where(u.gt(1), u.reciprocal(), where(u.gt(0), constant(u, 1), constant(u, 0))),
  Rect: (u) => where(u.abs().lt(0.5), constant(u, 1), constant(u, 0)),
  DeterministicPass: (u) => constant(u, 1),
};

export interface OracleOptions {
  readonly neuron: 'IFNode' | 'LIFNode' | 'ParametricLIFNode';
  readonly surrogate: string;
  readonly vReset: number | null;
  readonly detachReset: boolean;
  readonly decayInput: boolean;
  /** tau of LIF, w of ParametricLIF. */
  readonly leak: number | Tensor;
  readonly threshold: number | Tensor;
}

export interface OracleResult {
  readonly s: Tensor;
  readonly v: Tensor;
  readonly vSeq: Tensor;
  /** Distances of all membranes from their thresholds. */
  readonly u: Tensor;
}

/** A sequence `[T, *]` of float64 from the membrane `[*]`. */
export function oracle(xSeq: Tensor, start: Tensor, options: OracleOptions): OracleResult {
  const { neuron, surrogate, vReset, detachReset, decayInput, threshold } = options;
  const leak = options.leak as Tensor;
  const rest = vReset ?? 0;
  const slope = slopes[surrogate] as Slope;
  const scaled = (value: Tensor): Tensor =>
    neuron === 'LIFNode' ? value.div(leak) : value.mul(leak.sigmoid());
  const [spikes, membranes, distances]: [Tensor[], Tensor[], Tensor[]] = [[], [], []];
  let v = start;
  for (const x of xSeq.unbind(0)) {
    let h = v.add(x);
    if (neuron !== 'IFNode') {
      h = decayInput ? v.add(scaled(x.sub(v.sub(rest)))) : v.sub(scaled(v.sub(rest))).add(x);
    }
    const u = h.sub(threshold as Tensor);
    // Θ(u) whose derivative is the slope: what is added is 0.
    const [fired, g] = noGrad(() => [u.ge(0).to('float64'), slope(u.detach())]);
    const linear = u.mul(g);
    const s = fired.add(linear.sub(linear.detach()));
    const used = detachReset ? s.detach() : s;
    v =
      vReset === null ? h.sub(used.mul(threshold as Tensor)) : used.mul(vReset).add(used.neg().add(1).mul(h));
    spikes.push(s);
    membranes.push(v);
    distances.push(u.detach());
  }
  return { s: stack(spikes), v, vSeq: stack(membranes), u: stack(distances) };
}
