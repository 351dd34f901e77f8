"""AdamW on one flat fp32 copy of what is trained.

A bf16 number has 8 bits of precision, so adding a small update does not change it. The weights
that are updated are therefore fp32 (the master weights), and the model computes with a bf16 copy
that is refreshed after every step. One flat tensor makes the update, gradient clipping and a
checkpoint a handful of operations, however many layers there are.
"""

import math
from collections.abc import Iterable

import torch


class FlatAdamW:
    """Owns the trainable parameters: their values and gradients become views of flat tensors.

    master: (parameters,) fp32. working: the same in the number format of the model.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], weight_decay: float) -> None:
        self.parameters = list(parameters)
        first = self.parameters[0]
        size = sum(p.numel() for p in self.parameters)
        self.master = torch.empty(size, dtype=torch.float32, device=first.device)
        same = first.dtype == torch.float32
        self.working = self.master if same else self.master.to(first.dtype)
        self.gradient = torch.zeros_like(self.master)
        self._working_gradient = self.gradient if same else torch.zeros_like(self.working)
        self.master.grad = self.gradient
        self._make_parameters_views()
        self._adamw = torch.optim.AdamW(
            [self.master], betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay, fused=True
        )
        # Made now, so that they are there when the largest batch is tried (rehearsal.py).
        self._adamw.state[self.master] = {
            "exp_avg": torch.zeros_like(self.master),
            "exp_avg_sq": torch.zeros_like(self.master),
            "step": torch.zeros((), dtype=torch.float32, device=first.device),
        }

    def _make_parameters_views(self) -> None:
        start = 0
        for parameter in self.parameters:
            span = slice(start, start + parameter.numel())
            self.master[span].copy_(parameter.detach().flatten())
            self.working[span].copy_(parameter.detach().flatten())
            parameter.data = self.working[span].view(parameter.shape)
            parameter.grad = self._working_gradient[span].view(parameter.shape)
            start = span.stop

    def accumulate_gradients(self) -> None:
        """Add the gradients of a backward pass to the fp32 sum."""
        if self._working_gradient is not self.gradient:  # else the backward pass has added them
            self.gradient.add_(self._working_gradient)
            self._working_gradient.zero_()

    def zero_gradients(self) -> None:
        self.gradient.zero_()
        self._working_gradient.zero_()

    def step(self, learning_rate: float, max_norm: float) -> float:
        """Clip the gradient, update the master weights, refresh the working copy.

        Returns the gradient's norm before clipping. If it is not finite nothing is updated,
        because that would destroy every weight.
        """
        norm = float(torch.linalg.vector_norm(self.gradient))
        if not math.isfinite(norm):
            return norm
        if norm > max_norm:
            self.gradient.mul_(max_norm / norm)
        self._adamw.param_groups[0]["lr"] = learning_rate
        self._adamw.step()
        self.gradient.zero_()
        self._refresh()
        return norm

    def _refresh(self) -> None:
        if self.working is not self.master:
            self.working.copy_(self.master)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint needs to resume exactly; see `restore`."""
        state = self._adamw.state[self.master]
        return {
            "master": self.master,
            "first_moment": state["exp_avg"],
            "second_moment": state["exp_avg_sq"],
            "updates": state["step"].cpu(),
        }

    @property
    def checkpoint_bytes(self) -> int:
        """Size of a checkpoint: the trained weights in their number format, and in fp32 with two
        moments."""
        return self.working.nbytes + 3 * self.master.nbytes

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Continue from the `tensors` of a checkpoint."""
        self.master.copy_(tensors["master"])
        self._adamw.state[self.master] = {
            "exp_avg": tensors["first_moment"].to(self.master.device),
            "exp_avg_sq": tensors["second_moment"].to(self.master.device),
            "step": tensors["updates"].to(self.master.device),
        }
        self._refresh()


def learning_rate_at(
    step: int, total: int, peak: float, warmup_ratio: float, schedule: str
) -> float:
    """Learning rate of update `step` (from 0): linear warm-up, then the schedule down to zero."""
    warmup = math.ceil(total * warmup_ratio)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "linear":
        return peak * (1 - progress)
    return peak
