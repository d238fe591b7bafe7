"""The LIF operator of spikenode in Python: the same library, no Node needed.

    python lif.py [path of libspikenode.so]

Runs torch.ops.spikenode.lif and a plain loop of torch operators side by side, forward and backward, prints the shapes and
the largest differences, and checks the gradients numerically. Exit code 1 where something differs. The library must have
been built for the minor of the torch that runs here; without a path it is looked for in a clone's build folder, in the npm
package, and where `spikenode build` puts it.
"""

import json
import math
import os
import sys
from pathlib import Path

import torch

MINOR = ".".join(torch.__version__.split(".")[:2])
NAME = "libspikenode.so"
TAU, THRESHOLD, ALPHA = 2.0, 1.0, 2.0


def candidates():
    root = Path(__file__).resolve().parents[2]
    yield root / "build" / "Release" / NAME
    for folder in dict.fromkeys([Path.cwd(), *Path.cwd().parents, root, *root.parents]):
        yield folder / "node_modules" / "@spikenode" / "linux-x64" / f"torch-{MINOR}" / NAME
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spikenode"
    built = Path(os.environ.get("SPIKENODE_CACHE") or home) / "binaries"
    yield from sorted(built.glob(f"*/torch-{MINOR}-*/{NAME}"), reverse=True)


def is_for_this_torch(library):
    """Loading a library of another minor fails with the name of a missing symbol only."""
    description = library.parent / "build.json"
    if not description.exists():
        return True
    return json.loads(description.read_text())["torch"].startswith(f"{MINOR}.")


def find_library():
    if len(sys.argv) > 1:
        return Path(sys.argv[1]).resolve()
    for library in candidates():
        if library.exists() and is_for_this_torch(library):
            return library
    sys.exit(f"no {NAME} for torch {MINOR} was found; give its path, or build it with 'npx spikenode build'")


class Spike(torch.autograd.Function):
    """The step function, with the derivative of the arc tangent."""

    @staticmethod
    def forward(context, u):
        context.save_for_backward(u)
        return (u >= 0).to(u)

    @staticmethod
    def backward(context, gradient):
        (u,) = context.saved_tensors
        return gradient * (ALPHA / 2) / (1 + (math.pi / 2 * ALPHA * u) ** 2)


def plain(x_seq, v):
    """What the operator computes, as one writes it in torch."""
    spikes = []
    for x in x_seq:
        h = v + (x - v) / TAU
        s = Spike.apply(h - THRESHOLD)
        v = (1 - s) * h
        spikes.append(s)
    return torch.stack(spikes), v


def fused(x_seq, v, **options):
    s_seq, v_out, _ = torch.ops.spikenode.lif(
        x_seq, v, tau=TAU, v_threshold=THRESHOLD, v_reset=0.0, surrogate="ATan", surrogate_params=[ALPHA], **options
    )
    return s_seq, v_out


def gradients(function, x_seq, v, weight):
    """The spikes, the last membrane, and the gradients of a weighted sum of both."""
    x_seq, v = x_seq.clone().requires_grad_(), v.clone().requires_grad_()
    s_seq, v_out = function(x_seq, v)
    ((s_seq * weight).sum() + v_out.sum()).backward()
    return {"spikes": s_seq.detach(), "membrane": v_out.detach(), "grad x": x_seq.grad, "grad v": v.grad}


def compare(dtype, tolerance):
    torch.manual_seed(0)
    x_seq, v = torch.rand(16, 4, 250, dtype=dtype) * 3, torch.zeros(4, 250, dtype=dtype)
    weight = torch.randn(x_seq.shape, dtype=dtype)
    expected = gradients(plain, x_seq, v, weight)
    found = gradients(fused, x_seq, v, weight)
    agree = 0 < expected["spikes"].mean() < 1
    for name, value in expected.items():
        difference = (found[name] - value).abs().max().item()
        print(f"{dtype} {name:8} {tuple(value.shape)}: largest difference {difference:.3g}")
        agree = agree and difference <= tolerance
    return agree


def check_numerically():
    """Differences cannot see a step, so this is the smooth mode: the arc tangent itself in the place of the spikes."""
    torch.manual_seed(1)
    inputs = [torch.rand(5, 3, dtype=torch.float64), torch.rand(3, dtype=torch.float64), torch.rand(3).double() + 1.5]
    return torch.autograd.gradcheck(
        lambda x_seq, v, tau: fused(x_seq, v, tau_tensor=tau, spiking=False), [i.requires_grad_() for i in inputs]
    )


def main():
    library = find_library()
    torch.ops.load_library(str(library))
    if not hasattr(torch.ops.spikenode, "lif"):
        return 1  # the library has said why
    print(f"torch {torch.__version__}, {library}, kernels for {torch.ops.spikenode._isa()}")
    agree = compare(torch.float32, 1e-5) and compare(torch.float64, 1e-12)
    print(f"gradcheck: {check_numerically()}")
    print("the operator and the plain loop agree" if agree else "the operator and the plain loop DIFFER")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
