"""Which measured step of a training is the best one, and which adapters are kept beside it."""

MAX_KEPT_STEPS = 10
MAX_KEPT_BYTES = 2 * 10**9  # of all adapters that are kept, the best ones first


def quality(score: float | None, loss: float | None) -> tuple[float, float]:
    """Larger is better: the measure's score decides, then the loss, which decides alone where no
    measure can tell."""
    return score or 0.0, -loss if loss is not None else -float("inf")


def step_name(step: int) -> str:
    """Name of the folder of a step's adapter."""
    return f"{step:06d}"
