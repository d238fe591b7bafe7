"""Writes grad_scaler.json beside it: torch.amp.GradScaler('cpu') over steps with and without overflow. Run: python grad_scaler.py"""

import json
import pathlib
import torch

torch.set_num_threads(1)
inf, nan = float('inf'), float('nan')


def case(options, steps):
    """Steps of one or two optimizers; a step's gradients are those of the unscaled loss, or inf and nan."""
    scaler = torch.amp.GradScaler('cpu', **options)
    count = max(len(step['grads']) for step in steps)
    params = [torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5])) for _ in range(count)]
    optimizers = [torch.optim.SGD([p], lr=0.1, momentum=0.9) for p in params]
    after = []
    for step in steps:
        for p, g, o in zip(params, step['grads'], optimizers):
            o.zero_grad()
            scaler.scale((p * torch.tensor(g)).sum()).backward()
            if 'clip' in step:
                scaler.unscale_(o)
                torch.nn.utils.clip_grad_value_([p], step['clip'])
            scaler.step(o)
        scaler.update(*([step['new_scale']] if 'new_scale' in step else []))
        after.append(dict(state=scaler.state_dict(), params=[p.tolist() for p in params]))
    return dict(options=options, steps=[dict(s, grads=[[str(v) for v in g] for g in s['grads']]) for s in steps], after=after)


fine, small, big = [0.5, -1.0, 2.0], [1e-3, 2e-3, -1e-3], [3e38, 1.0, 0.0]
cases = [
    case(dict(), [dict(grads=[g]) for g in (fine, small, big, [nan, 0.0, 1.0], fine)]),
    case(dict(init_scale=8.0, growth_interval=2), [dict(grads=[g]) for g in (fine, fine, small, [inf, 0.0, 0.0], fine, fine, fine, fine)]),
    case(dict(init_scale=3.0, growth_factor=1.5, backoff_factor=0.25, growth_interval=1),
         [dict(grads=[g]) for g in (fine, [1.0, -inf, 1.0], [1.0, 1.0, nan], small, fine)]),
    case(dict(init_scale=1024.0), [dict(grads=[fine], clip=0.7), dict(grads=[big], clip=0.7), dict(grads=[small], clip=0.7)]),
    case(dict(init_scale=16.0, growth_interval=2),
         [dict(grads=[fine, small]), dict(grads=[fine, [nan, 1.0, 1.0]]), dict(grads=[small, fine]), dict(grads=[small, fine])]),
    case(dict(init_scale=4.0), [dict(grads=[fine], new_scale=64.0), dict(grads=[[inf, 0.0, 0.0]]), dict(grads=[small], new_scale=0.5)]),
    case(dict(init_scale=8.0, enabled=False), [dict(grads=[fine]), dict(grads=[small])]),
]
path = pathlib.Path(__file__).with_suffix('.json')
path.write_text(json.dumps(dict(torch=torch.__version__, cases=cases), indent=1) + '\n')
