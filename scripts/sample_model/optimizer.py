"""Muon for the matrices of the layers, AdamW for everything else."""

import torch


def orthogonalise(matrices, dtype):
    """The nearest orthogonal matrices, roughly: Newton-Schulz steps of degree 5 (Jordan 2024)."""
    x = (matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    for _ in range(5):
        a = torch.bmm(x, x.transpose(1, 2))
        b = -4.7750 * a + 2.0315 * torch.bmm(a, a)
        x = 3.4445 * x + torch.bmm(b, x)
    return (x.transpose(1, 2) if tall else x).float()


class Optimizer:
    """One step for both, and one state to save."""

    def __init__(self, model, dtype, weight_decay=0.05, momentum=0.95):
        matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
        taken = {id(p) for p in matrices}
        others = [p for p in model.parameters() if id(p) not in taken]
        self.groups = {}
        for p in matrices:
            self.groups.setdefault(p.shape, []).append(p)
        self.momenta = {shape: torch.zeros(len(ps), *shape) for shape, ps in self.groups.items()}
        self.weight_decay, self.momentum, self.dtype = weight_decay, momentum, dtype
        self.adam = torch.optim.AdamW(
            [{"params": [p for p in others if p.ndim > 1], "weight_decay": weight_decay},
             {"params": [p for p in others if p.ndim == 1], "weight_decay": 0.0}],
            lr=1e-3, betas=(0.9, 0.98))

    def step(self, rate, adam_rate):
        for group in self.adam.param_groups:
            group["lr"] = adam_rate
        self.adam.step()
        with torch.no_grad():
            for shape, parameters in self.groups.items():
                grads = torch.stack([p.grad for p in parameters])
                held = self.momenta[shape].mul_(self.momentum).add_(grads)
                updates = orthogonalise(grads.add(held, alpha=self.momentum), self.dtype)
                scale = rate * max(1.0, shape[0] / shape[1]) ** 0.5
                for p, update in zip(parameters, updates):
                    p.mul_(1 - rate * self.weight_decay).add_(update, alpha=-scale)

    def zero(self):
        self.adam.zero_grad(set_to_none=True)
        for parameters in self.groups.values():
            for p in parameters:
                p.grad = None

    def state(self):
        return {"adam": self.adam.state_dict(), "momenta": list(self.momenta.values())}

    def load(self, state):
        self.adam.load_state_dict(state["adam"])
        for held, saved in zip(self.momenta.values(), state["momenta"]):
            held.copy_(saved)
