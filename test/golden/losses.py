"""Losses of PyTorch in float64 with their gradients; writes losses.json beside itself."""

import json
import pathlib

import torch
from torch.nn import functional

torch.manual_seed(20)
cases = []


def add(kind, classes, size, options):
    outputs = torch.randn(size, classes, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, classes, (size,))
    weight = options.get("weight")
    if kind == "crossentropy":
        keywords = {**options, "weight": None if weight is None else torch.tensor(weight, dtype=torch.float64)}
        loss = functional.cross_entropy(outputs, targets, **keywords)
    else:
        loss = functional.mse_loss(outputs, functional.one_hot(targets, classes).double(), **options)
    upstream = torch.linspace(0.5, 2, loss.numel(), dtype=torch.float64).reshape(loss.shape)
    loss.backward(upstream)
    cases.append(
        {
            "kind": kind,
            "options": options,
            "outputs": outputs.tolist(),
            "targets": targets.tolist(),
            "upstream": upstream.tolist(),
            "loss": loss.tolist(),
            "grad": outputs.grad.tolist(),
        }
    )


for reduction in ["mean", "sum", "none"]:
    for smoothing in [0.0, 0.1, 1.0]:
        add("crossentropy", 4, 5, {"reduction": reduction, "label_smoothing": smoothing})
        add("crossentropy", 3, 6, {"reduction": reduction, "label_smoothing": smoothing, "weight": [0.5, 1.0, 3.25]})
    add("mse", 3, 4, {"reduction": reduction})
add("crossentropy", 1, 2, {"label_smoothing": 0.3})
add("crossentropy", 5, 1, {})

path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps({"torch": torch.__version__, "cases": cases}, separators=(",", ":")) + "\n")
