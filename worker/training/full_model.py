"""Full fine-tuning: every weight of the model is trained, tied ones together.

The base model is still needed: for the targets of replay, and for the first point of the curve. Its
weights stay in memory as they were read, beside the trained ones, at 2 bytes a parameter in bf16
where the training takes 20. Stored targets would be another way, but a whole distribution over the
vocabulary at each of 3,600 tokens takes as much, and one cut to its most likely tokens is another
loss than LoRA's (docs/decisions/0053 has the comparison).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel


class FullModel(torch.nn.Module):
    """A model of which every weight is trained, with the interface of a PEFT model.

    An optimizer that gives its parameters storage of their own (`FlatAdamW`) leaves the base
    model's to `disable_adapter`.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model.requires_grad_(True)
        self._base = [parameter.detach() for parameter in self.parameters()]

    def forward(self, **inputs: Any) -> Any:
        return self.model(**inputs)

    def get_base_model(self) -> PreTrainedModel:
        return self.model

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Compute with the base model's weights."""
        parameters = list(self.parameters())
        trained = [parameter.data for parameter in parameters]
        try:
            _set_data(parameters, self._base)
            yield
        finally:
            _set_data(parameters, trained)


def _set_data(parameters: list[torch.nn.Parameter], data: list[torch.Tensor]) -> None:
    for parameter, values in zip(parameters, data, strict=True):
        parameter.data = values
