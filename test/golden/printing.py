"""Writes printing.json beside it: what PyTorch prints of a fixed list of tensors. Run: python printing.py"""

import json
import math
import pathlib

import torch

INF, NAN = math.inf, math.nan
CASES = {
    "scalar": torch.tensor(3.14159),
    "whole scalar": torch.tensor(3.0),
    "negative zero": torch.tensor([-0.0, 0.0]),
    "integer scalar": torch.tensor(7),
    "boolean scalar": torch.tensor(True),
    "vector": torch.tensor([1.0, 2.5, -3.25]),
    "whole floats": torch.tensor([1.0, -20.0, 300.0]),
    "whole floats, large": torch.tensor([1.0, 123456.0, 99999999.0], dtype=torch.float64),
    "above 1e8": torch.tensor([2e8, 1e8]),
    "ratio above 1000": torch.tensor([1.5, 2000.5]),
    "ratio of 1000": torch.tensor([1.0, 1000.0]),
    "whole, ratio above 1000": torch.tensor([1.0, 1001.0]),
    "small": torch.tensor([9e-5, 2e-4]),
    "small edge": torch.tensor([1e-4, 2e-4], dtype=torch.float64),
    "tiny": torch.tensor([1e-30, -1e-30]),
    "huge": torch.tensor([1e300, 1.0], dtype=torch.float64),
    "three exponent digits": torch.tensor([1e-200, 2.5], dtype=torch.float64),
    "ties, fixed": torch.tensor([0.03125, 0.09375, -0.03125, 1.15625, 7.90625]),
    "ties, scientific": torch.tensor([100005.0, 100015.0, 0.00390625, 1.0]),
    "carry, scientific": torch.tensor([9.99996e-5, 9.99994e-5, 0.5], dtype=torch.float64),
    "carry, fixed": torch.tensor([0.99996, 9.99994], dtype=torch.float64),
    "not finite": torch.tensor([NAN, INF, -INF, 1.0]),
    "not finite, fractions": torch.tensor([NAN, INF, -INF, 1.5, 0.0]),
    "not finite, scientific": torch.tensor([NAN, INF, -INF, 1e-9, 0.0, -0.0]),
    "only not finite": torch.tensor([NAN, -INF]),
    "zeros": torch.zeros(2, 3),
    "float64": torch.tensor([0.1, 1 / 3], dtype=torch.float64),
    "float16": torch.tensor([0.1, 1 / 3], dtype=torch.float16),
    "bfloat16": torch.tensor([[0.1], [1 / 3]], dtype=torch.bfloat16),
    "int8": torch.tensor([-128, 7], dtype=torch.int8),
    "uint8": torch.tensor([255, 7], dtype=torch.uint8),
    "int16": torch.tensor([[1, -30000]], dtype=torch.int16),
    "int32": torch.tensor([1, 1000000, -5], dtype=torch.int32),
    "int64": torch.tensor([[1, 10], [-100, 9007199254740993]]),
    "bool": torch.tensor([[True, False], [False, True]]),
    "bool, all true": torch.ones(3, dtype=torch.bool),
    "empty": torch.tensor([]),
    "empty int64": torch.empty(0, dtype=torch.int64),
    "empty matrix": torch.empty(0, 3),
    "empty cube, float64": torch.empty(2, 0, 3, dtype=torch.float64),
    "empty bool": torch.empty(1, 0, dtype=torch.bool),
    "matrix": torch.tensor([[1.0, 2.0], [3.0, 4.5]]),
    "cube": torch.arange(12.0).reshape(2, 3, 2) / 4,
    "four dimensions": torch.arange(16).reshape(2, 2, 2, 2),
    "five dimensions": torch.arange(8).reshape(1, 2, 2, 1, 2),
    "long row": torch.arange(50.0) / 8,
    "long row of integers": torch.arange(100),
    "long rows": torch.arange(60.0).reshape(2, 30) - 30.5,
    "long scientific row": torch.arange(20.0) * 1e9 + 1,
    "wide cube": torch.arange(96).reshape(2, 2, 24) * 1000,
    "1000 values": torch.arange(1000),
    "1001 values": torch.arange(1001),
    "summary of floats": torch.arange(1200.0) / 7,
    "summary of a matrix": torch.arange(1600.0).reshape(40, 40) / 4,
    "summary, few rows": torch.arange(1500).reshape(3, 500),
    "summary, few columns": torch.arange(1500).reshape(500, 3),
    "summary, seven columns": torch.arange(1400).reshape(200, 7),
    "summary of a cube": torch.arange(2000).reshape(10, 20, 10),
    "summary, four dimensions": torch.arange(1536).reshape(2, 12, 8, 8) % 10,
    "summary hides the wide value": torch.where(torch.arange(1100) == 500, 1e12, 1.0).to(torch.float32),
    "summary, wide": torch.arange(1008).reshape(7, 144) * 10**14,
    "leaf with gradient": torch.ones(2, requires_grad=True),
    "scalar with gradient": torch.tensor(1.5, dtype=torch.float64, requires_grad=True),
    "result of an operator": torch.ones(2, 2, requires_grad=True) * 2.5,
    "suffix on a new line": (torch.ones(11, dtype=torch.float64, requires_grad=True) * 2.5),
    "suffixes over two lines": torch.arange(9.0, dtype=torch.float64, requires_grad=True).div(3).sum(0, keepdim=True).expand(8),
    "suffix fits exactly": torch.ones(7, dtype=torch.float64) / 3,
    "last line of a matrix": (torch.ones(2, 9, dtype=torch.float64, requires_grad=True) / 3).clone(),
    "empty with gradient": torch.empty(0, 2, dtype=torch.float64, requires_grad=True),
    "meta": torch.empty(2, 3, device="meta"),
    "meta, int64": torch.empty(5, device="meta", dtype=torch.int64),
}


def number(value):
    """A JSON value; a string where JSON or a double has no word for it."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return str(value) if abs(value) > 2**53 else value
    if math.isfinite(value) and not (value == 0 and math.copysign(1, value) < 0):
        return value
    return {INF: "Infinity", -INF: "-Infinity"}.get(value, "-0" if value == 0 else "NaN")


def case(name, x):
    values = None if x.is_meta else [number(v) for v in x.detach().reshape(-1).tolist()]
    return {
        "name": name,
        "dtype": str(x.dtype).removeprefix("torch."),
        "shape": list(x.shape),
        "values": values,
        "device": str(x.device),
        "requiresGrad": x.requires_grad,
        "gradFn": None if x.grad_fn is None else x.grad_fn.name(),
        "text": repr(x),
    }


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(case(*item)) for item in CASES.items())
    text = f'{{"source": "torch {torch.__version__}", "cases": [\n{lines}\n]}}\n'
    pathlib.Path(__file__).with_name("printing.json").write_text(text)
