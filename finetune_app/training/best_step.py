"""Which measured step of a training is the best one: that step's adapter is kept."""


def quality(score: float | None, loss: float | None) -> tuple[float, float]:
    """Larger is better: the measure's score decides, then the loss, which decides alone where no
    measure can tell."""
    return score or 0.0, -loss if loss is not None else -float("inf")
