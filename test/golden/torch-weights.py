"""Writes torch-smlp.safetensors, torch-scnn.safetensors and torch-weights.json beside it: networks in plain PyTorch,
their weights as the safetensors package saves them, an input and the mean of the outputs over time in evaluation
mode. Needs torch and safetensors. Run: python torch-weights.py"""

import json
import pathlib
import torch
from torch import nn
from safetensors.torch import save_file

STEPS = 4
folder = pathlib.Path(__file__).parent
torch.set_num_threads(1)


class Neuron(nn.Module):
    """Integrate-and-fire (tau None) or leaky integrate-and-fire, threshold 1; v_reset None is the soft reset."""

    def __init__(self, tau, v_reset):
        super().__init__()
        self.tau, self.v_reset, self.margin = tau, v_reset, float('inf')

    def forward(self, x_seq):
        rest = 0.0 if self.v_reset is None else self.v_reset
        v = torch.full_like(x_seq[0], rest)
        spikes = []
        for x in x_seq:
            h = v + x if self.tau is None else v + (x - (v - rest)) / self.tau
            self.margin = min(self.margin, (h - 1).abs().min().item())
            s = (h >= 1).to(h.dtype)
            v = h - s if self.v_reset is None else torch.where(s > 0, torch.full_like(h, rest), h)
            spikes.append(s)
        return torch.stack(spikes)


class Network(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleDict(layers)

    def forward(self, x_seq):
        for layer in self.layers.values():
            if isinstance(layer, Neuron):
                x_seq = layer(x_seq)
            else:
                y = layer(x_seq.flatten(0, 1))
                x_seq = y.unflatten(0, x_seq.shape[:2])
        return x_seq


def conv(inputs, outputs, kernel, **options):
    return nn.Conv2d(inputs, outputs, kernel, bias=False, **options)


cases = {}


def write(name, make, neuron, shape, gain):
    torch.manual_seed(21)
    net = Network(make(lambda: Neuron(**neuron)))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(gain)
    net.train()
    x = torch.rand(5, *shape) * 2
    with torch.no_grad():
        # Three passes, so that the batch normalisations have tracked something.
        for _ in range(3):
            net((torch.rand(STEPS, 5, *shape) * 2))
        net.eval()
        for layer in net.layers.values():
            if isinstance(layer, Neuron):
                layer.margin = float('inf')
        y = net(x.expand(STEPS, *x.shape)).mean(0)
        margin = min(layer.margin for layer in net.layers.values() if isinstance(layer, Neuron))
    assert margin > 1e-5, margin
    assert y.std(0).min() > 1e-3, y
    save_file(net.state_dict(), folder / f'torch-{name}.safetensors')
    cases[name] = dict(x=dict(shape=list(x.shape), values=x.flatten().tolist()), y=y.flatten().tolist())
    print(name, margin, y[0].tolist())


write('smlp', lambda neuron: dict(
    flatten1=nn.Flatten(), fc1=nn.Linear(12, 7), neuron1=neuron(), fc2=nn.Linear(7, 6), neuron2=neuron(),
    fc3=nn.Linear(6, 3)), dict(tau=None, v_reset=None), (12,), 2)
write('scnn', lambda neuron: dict(
    conv1=conv(2, 4, 3, padding=1), bn1=nn.BatchNorm2d(4), neuron1=neuron(), maxpool1=nn.MaxPool2d(2),
    conv2_dw=conv(4, 4, (3, 1), padding=(1, 0), groups=4), bn2_dw=nn.BatchNorm2d(4), neuron2_dw=neuron(),
    conv2_pw=conv(4, 6, 1), bn2_pw=nn.BatchNorm2d(6), neuron2_pw=neuron(),
    flatten=nn.Flatten(), fc1=nn.Linear(6 * 9, 8), neuron3=neuron(), fc2=nn.Linear(8, 3)),
    dict(tau=1.5, v_reset=0.0), (2, 6, 6), 2)
json.dump(dict(source='PyTorch %s' % torch.__version__.split('+')[0], steps=STEPS, **cases),
          open(folder / 'torch-weights.json', 'w'))
