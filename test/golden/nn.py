"""Writes nn.json beside it: what PyTorch's layers, initialisers and losses compute. Run: python nn.py"""

import json
import pathlib
import torch
import torch.nn as nn
torch.set_num_threads(1)
def numbers(t):
    return None if t is None else t.detach().double().flatten().tolist()

constructions = []

def construct(name, args, kw, make):
    torch.manual_seed(7)
    m = make()
    constructions.append(dict(layer=name, args=args, options=kw, weight=numbers(m.weight), bias=numbers(m.bias)))
construct('Linear', [5, 3], {}, lambda: nn.Linear(5, 3))
construct('Linear', [4, 2], {'bias': False}, lambda: nn.Linear(4, 2, bias=False))
construct('Linear', [4, 3], {'dtype': 'float64'}, lambda: nn.Linear(4, 3, dtype=torch.float64))
construct('Linear', [24, 20], {}, lambda: nn.Linear(24, 20))
construct('Conv1d', [4, 6, 3], {'groups': 2}, lambda: nn.Conv1d(4, 6, 3, groups=2))
construct('Conv2d', [3, 2, [3, 2]], {}, lambda: nn.Conv2d(3, 2, (3, 2)))
fills = []

def fill(name, args, f, shape=(3, 4)):
    torch.manual_seed(11)
    t = torch.empty(*shape)
    f(t)
    fills.append(dict(fn=name, args=args, shape=list(shape), values=numbers(t)))
fill('uniform', [-2, 3], lambda t: nn.init.uniform_(t, -2, 3))
fill('normal', [1, 2], lambda t: nn.init.normal_(t, 1, 2), (4, 5))
fill('kaimingUniform', [{}], lambda t: nn.init.kaiming_uniform_(t))
fill('kaimingUniform', [{'a': 0.2, 'mode': 'fan_out'}], lambda t: nn.init.kaiming_uniform_(t, a=0.2, mode='fan_out'), (3, 4, 2, 2))
fill('kaimingNormal', [{'mode': 'fan_out', 'nonlinearity': 'relu'}], lambda t: nn.init.kaiming_normal_(t, mode='fan_out', nonlinearity='relu'), (4, 5))
fill('xavierUniform', [2], lambda t: nn.init.xavier_uniform_(t, 2.0))
fill('xavierNormal', [0.5], lambda t: nn.init.xavier_normal_(t, 0.5), (4, 5))
layers = []

def run(name, args, opts, make, shape, steps=1, mode='s', train=True):
    torch.manual_seed(3)
    m = make().double().train(train)
    xs = torch.randn(*shape, dtype=torch.float64)
    state = {k: numbers(v) for k, v in m.state_dict().items()}
    x = xs.clone().requires_grad_()
    if mode == 'm':
        y = m(x.flatten(0, 1))
        y = y.view(*shape[:2], *y.shape[1:])
    else:
        y = m(x)
    g = torch.randn(*y.shape, dtype=torch.float64)
    y.backward(g)
    if mode == 's' and steps > 1:
        for _ in range(steps - 1):
            m(x.detach())
    layers.append(dict(layer=name, args=args, options=opts, train=train, mode=mode, calls=steps, state=state, shape=list(shape), x=numbers(xs), gy=numbers(g), outShape=list(y.shape), y=numbers(y), gx=numbers(x.grad), grads={k: numbers(p.grad) for k, p in m.named_parameters()}, after={k: numbers(v) for k, v in m.state_dict().items()}))
run('Linear', [4, 3], {}, lambda: nn.Linear(4, 3), (2, 4))
run('Linear', [4, 3], {}, lambda: nn.Linear(4, 3), (2, 3, 4), mode='m')
run('Conv1d', [2, 4, 3], {'stride': 2, 'padding': 1, 'groups': 2}, lambda: nn.Conv1d(2, 4, 3, stride=2, padding=1, groups=2), (2, 2, 7))
run('Conv2d', [2, 3, 3], {'padding': 'same', 'dilation': [1, 2], 'bias': False}, lambda: nn.Conv2d(2, 3, 3, padding='same', dilation=(1, 2), bias=False), (1, 2, 5, 6))
run('Conv2d', [2, 2, [2, 3]], {'stride': [2, 1]}, lambda: nn.Conv2d(2, 2, (2, 3), stride=(2, 1)), (2, 3, 2, 4, 5), mode='m')
run('BatchNorm1d', [3], {}, lambda: nn.BatchNorm1d(3), (4, 3), steps=2)
run('BatchNorm1d', [3], {'momentum': None}, lambda: nn.BatchNorm1d(3, momentum=None), (4, 3, 2), steps=3)
run('BatchNorm1d', [3], {}, lambda: nn.BatchNorm1d(3), (2, 4, 3), mode='m')
run('BatchNorm2d', [2], {'eps': 0.01, 'momentum': 0.3}, lambda: nn.BatchNorm2d(2, eps=0.01, momentum=0.3), (2, 3, 2, 2, 3), mode='m')
run('BatchNorm2d', [2], {'affine': False}, lambda: nn.BatchNorm2d(2, affine=False), (3, 2, 2, 2), train=False)
run('BatchNorm2d', [2], {'trackRunningStats': False}, lambda: nn.BatchNorm2d(2, track_running_stats=False), (3, 2, 2, 2), train=False)
run('MaxPool1d', [3], {'stride': 2, 'padding': 1}, lambda: nn.MaxPool1d(3, 2, 1), (2, 2, 7))
run('MaxPool2d', [2], {}, lambda: nn.MaxPool2d(2), (2, 2, 1, 4, 5), mode='m')
run('MaxPool2d', [[2, 3]], {'stride': 1, 'dilation': [2, 1], 'ceilMode': True}, lambda: nn.MaxPool2d((2, 3), 1, 0, (2, 1), ceil_mode=True), (1, 2, 5, 5))
run('AvgPool1d', [2], {'padding': 1, 'countIncludePad': False}, lambda: nn.AvgPool1d(2, padding=1, count_include_pad=False), (2, 2, 5))
run('AvgPool2d', [2], {'ceilMode': True}, lambda: nn.AvgPool2d(2, ceil_mode=True), (2, 1, 2, 3, 5), mode='m')
run('AvgPool2d', [[1, 2]], {'divisorOverride': 3}, lambda: nn.AvgPool2d((1, 2), divisor_override=3), (1, 2, 2, 4))
run('Flatten', [], {}, lambda: nn.Flatten(), (2, 3, 2, 2))
run('Flatten', [], {}, lambda: nn.Flatten(), (2, 2, 3, 2), mode='m')
class GlobalSumPool(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.dims = dims

    def forward(self, x):
        return x.sum(self.dims)
run('Conv2d', [3, 3, [3, 1]], {'padding': [1, 0], 'groups': 3, 'bias': False}, lambda: nn.Conv2d(3, 3, (3, 1), padding=(1, 0), groups=3, bias=False), (2, 2, 3, 4, 3), mode='m')
run('Conv1d', [2, 3, 3], {'padding': 2, 'paddingMode': 'reflect', 'stride': 2}, lambda: nn.Conv1d(2, 3, 3, padding=2, padding_mode='reflect', stride=2), (2, 2, 6))
run('Conv2d', [2, 2, [2, 3]], {'padding': 'same', 'paddingMode': 'circular', 'dilation': [1, 2]}, lambda: nn.Conv2d(2, 2, (2, 3), padding='same', padding_mode='circular', dilation=(1, 2)), (1, 2, 5, 6))
run('Conv2d', [2, 2, 3], {'padding': [1, 2], 'paddingMode': 'replicate'}, lambda: nn.Conv2d(2, 2, 3, padding=(1, 2), padding_mode='replicate'), (2, 1, 2, 3, 4), mode='m')
run('BatchNorm2d', [2], {'momentum': None}, lambda: nn.BatchNorm2d(2, momentum=None), (3, 2, 2, 3), steps=3)
run('MaxPool1d', [1], {}, lambda: nn.MaxPool1d(1), (2, 2, 5))
run('AdaptiveAvgPool1d', [3], {}, lambda: nn.AdaptiveAvgPool1d(3), (2, 2, 2, 7), mode='m')
run('AdaptiveAvgPool2d', [[2, 1]], {}, lambda: nn.AdaptiveAvgPool2d((2, 1)), (2, 2, 5, 4))
run('GlobalSumPool1d', [], {}, lambda: GlobalSumPool([-1]), (2, 3, 2, 4), mode='m')
run('GlobalSumPool2d', [], {}, lambda: GlobalSumPool([-2, -1]), (2, 3, 2, 4))
losses = []

def loss(name, opts, f, shape, target):
    torch.manual_seed(5)
    x = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    t = target()
    y = f(x, t)
    y.sum().backward()
    losses.append(dict(loss=name, options=opts, shape=list(shape), x=numbers(x), target=t.flatten().tolist(), targetShape=list(t.shape), targetDtype='int64' if t.dtype == torch.int64 else 'float64', y=numbers(y), gx=numbers(x.grad)))
for r in ['mean', 'sum', 'none']:
    loss('MSELoss', {'reduction': r}, nn.MSELoss(reduction=r), (3, 2), lambda: torch.randn(3, 2, dtype=torch.float64))
    loss('CrossEntropyLoss', {'reduction': r}, nn.CrossEntropyLoss(reduction=r), (4, 3), lambda: torch.tensor([0, 2, 1, 1]))
loss('CrossEntropyLoss', {'labelSmoothing': 0.1, 'ignoreIndex': 1}, nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=1), (4, 3), lambda: torch.tensor([0, 2, 1, 1]))
loss('CrossEntropyLoss', {'weight': [1.0, 2.0, 0.5]}, nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)), (4, 3), lambda: torch.tensor([0, 2, 1, 1]))
loss('CrossEntropyLoss', {}, nn.CrossEntropyLoss(), (2, 3), lambda: torch.softmax(torch.randn(2, 3, dtype=torch.float64), 1))
json.dump(dict(source='PyTorch %s, CPU, one thread' % torch.__version__.split('+')[0], note='constructed after manual_seed(7), functions after manual_seed(11); layers and losses in float64', constructed=constructions, functions=fills, layers=layers, losses=losses), open(pathlib.Path(__file__).with_suffix('.json'), 'w'))
