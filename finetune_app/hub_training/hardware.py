"""The machines of Hugging Face Jobs, with what a minute costs."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from finetune_app.basemodels import hub

MAX_MACHINES = 100
MICRO = Decimal(1_000_000)
MAX_COST = 1_000_000_000  # millionths of a dollar, for a minute


@dataclass(frozen=True)
class Machine:
    """`price`: dollars a minute."""

    flavor: str
    name: str
    cpu: str
    memory: str
    card: str  # "1 x T4, 16 GB"; "" without
    price: Decimal

    @property
    def words(self) -> str:
        return ", ".join(part for part in (self.name, self.card or self.cpu, self.memory) if part)


def machines(token: str) -> list[Machine]:
    """The cheapest first. Raises PlainError where the hub gives no answer."""
    answer = hub.get_json("/api/jobs/hardware", token=token)
    if not isinstance(answer, list):
        raise hub.unreadable()
    found = [_machine(one) for one in answer[:MAX_MACHINES]]
    named = [one for one in found if one]
    if not named:
        raise hub.unreadable()
    return sorted(named, key=lambda one: (one.price, one.flavor))


def _machine(found: Any) -> Machine | None:
    """None where it has no name, no price that can be true, or is not paid by the minute."""
    flavor, cost = hub.text(found, "name", 64), hub.count(found, "unitCostMicroUSD")
    if not flavor or not 0 < cost < MAX_COST or hub.text(found, "unitLabel", 16) != "minute":
        return None
    accelerator = found.get("accelerator")
    quantity, model = hub.text(accelerator, "quantity", 8), hub.text(accelerator, "model", 40)
    return Machine(
        flavor=flavor,
        name=hub.text(found, "prettyName", 60) or flavor,
        cpu=hub.text(found, "cpu", 40),
        memory=hub.text(found, "ram", 40),
        card=" x ".join(part for part in (quantity, model) if part),
        price=Decimal(cost) / MICRO,
    )
