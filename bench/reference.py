"""The training steps of bench/step.ts in plain PyTorch: `python3 bench/reference.py`.

The neurons are loops of torch operators over `unbind`, as one would write them without a library. The tables are
those of bench/step.ts: a step, and the share of each kind of layer, beside ReLU in place of the neurons.
"""

import math
import statistics
import time

import torch
from torch import nn

TIMESTEPS, ROUNDS, ALPHA = 4, 11, 2.0
SHARES = ["convolutions", "batch norm", "neurons", "pooling", "linear", "loss", "optimizer"]


class Spike(torch.autograd.Function):
    """1 where u >= 0; the derivative is that of ATan."""

    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx, grad):
        (u,) = ctx.saved_tensors
        return grad * (ALPHA / 2 / ((math.pi / 2 * ALPHA * u).square() + 1))


class Neuron(nn.Module):
    """Integrate and fire, leaky with a tau; threshold 1, hard reset to 0, detached."""

    def __init__(self, tau=None):
        super().__init__()
        self.tau = tau

    def forward(self, x_seq):
        v = torch.zeros_like(x_seq[0])
        spikes = []
        for x in x_seq.unbind(0):
            v = v + x if self.tau is None else v + (x - v) / self.tau
            s = Spike.apply(v - 1.0)
            v = (1 - s.detach()) * v
            spikes.append(s)
        return torch.stack(spikes)


class OverTime(nn.Module):
    """A layer without memory, with time folded into the batch."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x_seq):
        y = self.layer(x_seq.flatten(0, 1))
        return y.unflatten(0, x_seq.shape[:2])


def csnn(channels, neuron):
    def block(inputs):
        return [
            ("convolutions", OverTime(nn.Conv2d(inputs, channels, 3, padding=1, bias=False))),
            ("batch norm", OverTime(nn.BatchNorm2d(channels))),
            ("neurons", neuron()),
            ("pooling", OverTime(nn.MaxPool2d(2))),
        ]

    return [
        *block(1),
        *block(channels),
        ("linear", OverTime(nn.Flatten())),
        ("linear", nn.Linear(channels * 7 * 7, 256)),
        ("neurons", neuron()),
        ("linear", nn.Linear(256, 10)),
        ("neurons", neuron()),
    ]


def smlp(neuron):
    return [
        ("linear", OverTime(nn.Flatten())),
        ("linear", nn.Linear(784, 512)),
        ("neurons", neuron()),
        ("linear", nn.Linear(512, 10)),
    ]


CASES = [
    ("CSNN, 16 channels", 64, lambda neuron: csnn(16, neuron), Neuron),
    ("CSNN, 64 channels", 64, lambda neuron: csnn(64, neuron), Neuron),
    ("SMLP 784-512-10", 128, smlp, lambda: Neuron(2.0)),
]


class TrainingStep:
    def __init__(self, parts, batch):
        self.parts = parts
        self.net = nn.Sequential(*(layer for _, layer in parts))
        self.optimizer = torch.optim.Adam(self.net.parameters(), fused=True)
        self.input = torch.rand(TIMESTEPS, batch, 1, 28, 28)
        self.target = torch.rand(batch, 10)

    def loss(self, outputs):
        return nn.functional.mse_loss(outputs.mean(0), self.target)

    def step(self):
        start = time.perf_counter()
        self.optimizer.zero_grad()
        loss = self.loss(self.net(self.input))
        loss.backward()
        self.optimizer.step()
        loss.item()
        return 1e3 * (time.perf_counter() - start)

    def by_share(self):
        times = dict.fromkeys(SHARES, 0.0)

        def timed(share, fn, *arguments):
            start = time.perf_counter()
            result = fn(*arguments)
            times[share] += 1e3 * (time.perf_counter() - start)
            return result

        timed("optimizer", self.optimizer.zero_grad)
        seams, x = [], self.input
        for share, layer in self.parts:
            given = x.detach().requires_grad_(x.requires_grad)
            x = timed(share, layer, given)
            seams.append((share, given, x))
        outputs = x.detach().requires_grad_()
        timed("loss", lambda: self.loss(outputs).backward())
        gradient = outputs.grad
        while seams:
            share, given, output = seams.pop()
            if output.requires_grad:
                timed(share, output.backward, gradient)
            gradient, given.grad = given.grad, None
        timed("optimizer", self.optimizer.step)
        return times


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def compare(name, batch, build, neuron):
    both = [TrainingStep(build(make), batch) for make in (neuron, nn.ReLU)]
    steps, shares = ([], []), ([], [])
    for i in range(-2, ROUNDS):
        for training, times, parts in zip(both, steps, shares):
            step, part = training.step(), training.by_share()
            if i >= 0:
                times.append(step)
                parts.append(part)
    threads = torch.get_num_threads()
    plural = "1 thread" if threads == 1 else f"{threads} threads"
    ratios = [a / b for a, b in zip(*steps)]
    print(f"{name}, batch {batch}, {plural}: {quartiles(ratios)} times the step with ReLU")
    print(f"  {'ms':24} {'loop':>9} {'ReLU':>9} {'more':>9}")

    def row(title, a, b):
        print(f"  {title:24} {a:9.2f} {b:9.2f} {a - b:9.2f}")

    whole = [statistics.median(times) for times in steps]
    row("step", *whole)
    for share in SHARES:
        part = [statistics.median(times[share] for times in parts) for parts in shares]
        whole = [a - b for a, b in zip(whole, part)]
        if any(share == own for own, _ in both[0].parts) or share in ("loss", "optimizer"):
            row(f"  {share}", *part)
    row("  rest", *whole)


def main():
    print(
        f"PyTorch {torch.__version__}: training steps, float32, T {TIMESTEPS}, Adam, MSE of the mean over time; "
        f"medians of {ROUNDS} interleaved rounds"
    )
    for case in CASES:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            compare(*case)


if __name__ == "__main__":
    main()
