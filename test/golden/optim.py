"""Writes optim.json beside it: torch.optim and gradient clipping where the other tables do not reach: dtypes, states,
several groups, lists, limits of the parameters, schedulers within schedulers. Run: python optim.py"""

import json
import math
import pathlib
import warnings
import torch
from torch.optim import lr_scheduler

torch.set_num_threads(1)
torch.manual_seed(5)
warnings.simplefilter('ignore')
KINDS = 'SGD Adam AdamW NAdam RAdam Adamax Adadelta Adagrad RMSprop Rprop ASGD'.split()
FUSED = ('SGD', 'Adam', 'AdamW')


def numbers(t):
    return t.detach().double().flatten().tolist()


optimizers = []


def optimizer(kind, params, dtype='float64', steps=9, groups=None):
    shapes = [(2, 3), (4,)]
    made = [torch.nn.Parameter(torch.randn(s, dtype=torch.float64).to(getattr(torch, dtype))) for s in shapes]
    init = [numbers(p) for p in made]
    given = made if groups is None else [{'params': [p], **own} for p, own in zip(made, groups)]
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in params.items()}
    # spikenode uses the fused operators where there are some; in 16 bits they round less often.
    # (PyTorch's fused SGD fails where a momentum begins late.)
    fused = kind in FUSED and 'momentum' not in params
    o = getattr(torch.optim, kind)(given, **options, **({'fused': True} if fused else {}))
    grads, values = [], []
    for step in range(steps):
        for i, p in enumerate(made):
            # The second parameter has no gradient at first, and zeros are among the others.
            g = torch.randn(p.shape, dtype=torch.float64) * (torch.rand(p.shape) > 0.2)
            p.grad = None if i == 1 and step < 2 else g.to(p.dtype)
        grads.append([None if p.grad is None else numbers(p.grad) for p in made])
        o.step()
        values.append([numbers(p) for p in made])
    state = [{k: numbers(v) for k, v in o.state[p].items() if v is not None} for p in made]
    optimizers.append(dict(kind=kind, params=params, dtype=dtype, shapes=shapes, groups=groups, init=init, grads=grads,
                           values=values, state=state))


for kind in KINDS:
    for dtype in ('float64', 'float32', 'bfloat16', 'float16'):
        # The default is 0 in float16, where PyTorch has NaN then.
        eps = {'eps': 1e-3} if dtype == 'float16' and kind not in ('SGD', 'Rprop', 'ASGD') else {}
        optimizer(kind, {'lr': 0.01, **eps}, dtype)
    optimizer(kind, {'maximize': True, **({} if kind == 'Rprop' else {'weight_decay': 0.1})})
    optimizer(kind, {}, groups=[{'lr': 0.5}, {'lr': 0.02, 'maximize': True}])
optimizer('SGD', dict(lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.01), 'bfloat16')
optimizer('SGD', dict(lr=0.1, momentum=0.9, nesterov=True, maximize=True))
optimizer('SGD', dict(lr=0))
optimizer('Adam', dict(lr=0.1, betas=[0.0, 0.0], eps=0.1))
optimizer('Adam', dict(lr=0.1, amsgrad=True, maximize=True, weight_decay=0.1), 'bfloat16')
optimizer('AdamW', dict(lr=0.1, amsgrad=True, maximize=True, weight_decay=0.1, betas=[0.5, 0.9]))
optimizer('Adam', dict(lr=0.1, decoupled_weight_decay=True, weight_decay=0.3, amsgrad=True))
optimizer('NAdam', dict(lr=0.1, betas=[0.5, 0.9], momentum_decay=0.5, decoupled_weight_decay=True, weight_decay=0.3, maximize=True))
optimizer('NAdam', dict(lr=0.1, momentum_decay=0, eps=0.01))
optimizer('RAdam', dict(lr=0.1, betas=[0.5, 0.8], decoupled_weight_decay=True, weight_decay=0.3, maximize=True), steps=20)
optimizer('RAdam', dict(lr=0.1, betas=[0.9, 0.99], eps=0.01, weight_decay=0.1), steps=20)
optimizer('Adamax', dict(lr=0.1, betas=[0.0, 0.5], eps=0.1, weight_decay=0.2))
optimizer('Adadelta', dict(lr=0.5, rho=0, eps=0.01))
optimizer('Adadelta', dict(lr=0.5, rho=1))
optimizer('Adagrad', dict(lr=0.5, lr_decay=0.5, initial_accumulator_value=2, eps=0.1, maximize=True))
optimizer('RMSprop', dict(lr=0.1, alpha=0.5, eps=0.1, weight_decay=0.1, momentum=0.9, centered=True, maximize=True))
optimizer('RMSprop', dict(lr=0.1, momentum=0.9, centered=True), 'bfloat16')
optimizer('Rprop', dict(lr=0.1, etas=[0.3, 2.5], step_sizes=[0.05, 0.2], maximize=True), steps=15)
optimizer('ASGD', dict(lr=0.1, lambd=0.3, alpha=0.5, t0=2, weight_decay=0.1, maximize=True))
optimizer('ASGD', dict(lr=0.1, t0=-3), 'bfloat16')

schedules = []


def make(kind, params, o):
    params = dict(params)
    if 'schedulers' in params:
        parts = [make(p['kind'], p['params'], o) for p in params.pop('schedulers')]
        cls = getattr(lr_scheduler, kind)
        return cls(parts) if kind == 'ChainedScheduler' else cls(o, parts, **params)
    return getattr(lr_scheduler, kind)(o, **params)


def schedule(kind, params, steps=14, lrs=(0.3,), optimizer='SGD', metrics=None):
    options = dict(momentum=0.9) if optimizer in ('SGD', 'RMSprop') else {}
    o = getattr(torch.optim, optimizer)([{'params': [torch.nn.Parameter(torch.zeros(1))], 'lr': lr} for lr in lrs], **options)
    s = make(kind, params, o)

    def now():
        rates.append([g['lr'] for g in o.param_groups])
        momenta.append([g['betas'][0] if 'betas' in g else g.get('momentum') for g in o.param_groups])
    rates, momenta = [], []
    now()
    for i in range(steps):
        o.step()
        s.step() if metrics is None else s.step(metrics[i])
        now()
    if metrics is not None:
        metrics = [str(m) if not math.isfinite(m) else m for m in metrics]
    schedules.append(dict(kind=kind, params=params, optimizer=dict(kind=optimizer, params=options), lrs=lrs, steps=steps, metrics=metrics,
                          lr=rates, momentum=momenta))


two = (0.3, 0.02)
schedule('StepLR', dict(step_size=1, gamma=-0.5), lrs=two)
schedule('MultiStepLR', dict(milestones=[0, 5, 3, 5]), lrs=two)
schedule('MultiStepLR', dict(milestones=[]))
schedule('ExponentialLR', dict(gamma=1.1), lrs=two)
schedule('ConstantLR', dict(factor=1, total_iters=2))
schedule('ConstantLR', dict(factor=0.5, total_iters=0))
schedule('LinearLR', dict(start_factor=0.5, end_factor=0, total_iters=4), lrs=two)
schedule('LinearLR', dict(start_factor=0.5, total_iters=0))
schedule('PolynomialLR', dict(total_iters=3, power=0), lrs=two)
schedule('PolynomialLR', dict(total_iters=0))
schedule('PolynomialLR', dict(total_iters=6, power=0.5))
schedule('CosineAnnealingLR', dict(T_max=1))
schedule('CosineAnnealingLR', dict(T_max=2, eta_min=0.5), lrs=two)
schedule('CosineAnnealingLR', dict(T_max=3, eta_min=-0.1), steps=40)
schedule('CosineAnnealingWarmRestarts', dict(T_0=1), lrs=two)
schedule('CosineAnnealingWarmRestarts', dict(T_0=1, T_mult=2, eta_min=0.5), steps=40)
schedule('CosineAnnealingWarmRestarts', dict(T_0=4, T_mult=3), steps=60)
for mode in ('triangular', 'triangular2', 'exp_range'):
    schedule('CyclicLR', dict(base_lr=[0.1, 0.2], max_lr=[0.5, 0.9], step_size_up=3, step_size_down=2, mode=mode, gamma=0.9,
                              scale_mode='iterations', base_momentum=[0.5, 0.6], max_momentum=[0.7, 0.95]), lrs=two)
schedule('CyclicLR', dict(base_lr=0.1, max_lr=0.2, step_size_up=2, step_size_down=0))
schedule('CyclicLR', dict(base_lr=0.4, max_lr=0.2, step_size_up=2.5), optimizer='Adam')
schedule('CyclicLR', dict(base_lr=0.1, max_lr=0.2, step_size_up=3), optimizer='RMSprop')
schedule('CyclicLR', dict(base_lr=0.1, max_lr=0.2, step_size_up=3, cycle_momentum=False), optimizer='Adagrad')
for three in (False, True):
    for anneal in ('cos', 'linear'):
        schedule('OneCycleLR', dict(max_lr=[1.0, 0.5], total_steps=14, three_phase=three, anneal_strategy=anneal, pct_start=0.4,
                                    base_momentum=[0.5, 0.6], max_momentum=[0.7, 0.95]), lrs=two)
schedule('OneCycleLR', dict(max_lr=1.0, epochs=3, steps_per_epoch=4, div_factor=2, final_div_factor=5), steps=12, optimizer='AdamW')
schedule('OneCycleLR', dict(max_lr=1.0, total_steps=10, pct_start=0.0), steps=10)
schedule('OneCycleLR', dict(max_lr=1.0, total_steps=10, pct_start=1.0), steps=9)
schedule('OneCycleLR', dict(max_lr=1.0, total_steps=10, pct_start=0.6, three_phase=True), steps=10)
schedule('OneCycleLR', dict(max_lr=1.0, total_steps=1), steps=1)
schedule('OneCycleLR', dict(max_lr=1.0, total_steps=10, cycle_momentum=False), steps=10, optimizer='Rprop')
bumpy = [1.0, 0.9, 0.9, 0.95, 0.89, 0.89, 0.89, 0.89, 0.5, 0.5, 0.5, 0.49, 0.49, 0.49, 0.49, 0.49, 0.7, 0.7, 0.7, 0.1]
for mode in ('min', 'max'):
    for threshold_mode in ('rel', 'abs'):
        schedule('ReduceLROnPlateau', dict(mode=mode, factor=0.5, patience=1, threshold=0.05, threshold_mode=threshold_mode, cooldown=2,
                                           min_lr=[0.04, 0.001]), steps=20, lrs=two, metrics=bumpy)
schedule('ReduceLROnPlateau', dict(patience=0, eps=0.02, factor=0.9), steps=20, metrics=[1.0] * 20)
schedule('ReduceLROnPlateau', dict(patience=2, factor=0, min_lr=0.01), steps=8, metrics=[math.nan, math.inf, -1.0, math.nan, -math.inf, 0.0, 1.0, 2.0])


def part(kind, **params):
    return dict(kind=kind, params=params)


const, exp, step = part('ConstantLR', factor=0.5, total_iters=2), part('ExponentialLR', gamma=0.9), part('StepLR', step_size=1, gamma=0.5)
for milestones in ([2, 5], [2, 2], [0, 3], [3, 30]):
    schedule('SequentialLR', dict(schedulers=[const, step, exp], milestones=milestones), lrs=two)
schedule('SequentialLR', dict(schedulers=[exp], milestones=[]))
schedule('SequentialLR', dict(schedulers=[part('LinearLR', start_factor=0.1, total_iters=3), part('CosineAnnealingWarmRestarts', T_0=3, T_mult=2)], milestones=[3]), lrs=two)
schedule('SequentialLR', dict(schedulers=[part('CosineAnnealingWarmRestarts', T_0=3, T_mult=2), part('CyclicLR', base_lr=0.01, max_lr=0.5, step_size_up=2),
                                          part('PolynomialLR', total_iters=4, power=2)], milestones=[3, 7]))
schedule('SequentialLR', dict(schedulers=[part('OneCycleLR', max_lr=1.0, total_steps=5), exp, part('MultiStepLR', milestones=[0, 2])], milestones=[4, 6]), lrs=two)
schedule('SequentialLR', dict(schedulers=[exp, part('LinearLR', total_iters=3), const, part('OneCycleLR', max_lr=1.0, total_steps=9)], milestones=[3, 5, 9]))
sequence = part('SequentialLR', schedulers=[const, step], milestones=[2])
schedule('SequentialLR', dict(schedulers=[sequence, exp], milestones=[5]))
schedule('SequentialLR', dict(schedulers=[part('ChainedScheduler', schedulers=[const, part('MultiStepLR', milestones=[3])]), step], milestones=[5]), lrs=two)
schedule('ChainedScheduler', dict(schedulers=[sequence, exp]), lrs=two)
schedule('ChainedScheduler', dict(schedulers=[part('LinearLR', start_factor=0.25, total_iters=3), part('CosineAnnealingLR', T_max=5), step]))
schedule('ChainedScheduler', dict(schedulers=[exp, part('CyclicLR', base_lr=0.01, max_lr=0.5, step_size_up=2)]))
schedule('SequentialLR', dict(schedulers=[part('CyclicLR', base_lr=0.01, max_lr=0.5, step_size_up=2), step], milestones=[3]), lrs=two)

clips = []


def clip(max_norm, norm_type, scale=1.0, dtypes=('float64', 'float64')):
    made = [torch.nn.Parameter(torch.zeros(s, dtype=getattr(torch, d))) for s, d in zip([(2, 3), (4,)], dtypes)]
    for p in made:
        p.grad = (torch.randn(p.shape, dtype=torch.float64) * scale).to(p.dtype)
    grads = [numbers(p.grad) for p in made]
    if norm_type is None:
        total = torch.nn.utils.clip_grad_value_(made, max_norm)
    else:
        total = torch.nn.utils.clip_grad_norm_(made, max_norm, norm_type)
    clips.append(dict(max=max_norm, norm_type='Infinity' if norm_type == math.inf else norm_type, dtypes=dtypes, grads=grads,
                      total=None if total is None else numbers(total)[0], result=[numbers(p.grad) for p in made]))


for norm_type in (2.0, 1.0, 3.5, math.inf, 0.0):
    clip(0.7, norm_type)
clip(100.0, 2.0)
clip(0.0, 2.0)
clip(0.5, 2.0, 1e-4)
clip(0.5, 2.0, 1.0, ('float32', 'float32'))
clip(0.7, 2.0, 1.0, ('bfloat16', 'bfloat16'))
clip(0.5, 2.0, 1.0, ('float32', 'float64'))
for limit in (0.5, 0.0, 10.0):
    clip(limit, None)

pathlib.Path(__file__).with_name('optim.json').write_text(
    json.dumps(dict(source=f'torch {torch.__version__}', optimizers=optimizers, schedulers=schedules, clips=clips), separators=(',', ':')) + '\n')
