"""The thresholds of a verdict: how sure it must be, and what each level asks for."""

ALPHA = 0.05  # a difference counts when chance alone gives its split at most this often
CONFIDENCE = 1 - ALPHA  # of every interval
FIRST_LOOK = ALPHA / 2  # chance of a false "better" at the first look: one side of the sign test
FIRST_LOOK_AT_TRIVIAL = 0.04  # the same against answers that need no model
RARE, VERY_RARE = 0.01, 0.001  # the words for a split that chance gives at most this often

TIE_WITHIN = 0.01  # graded scores this close count as equal
MAX_LOSS_SHARE = 0.2  # of all prompts, for "consistently better"
NO_DIFFERENCE = 0.05  # the whole interval of the net gain must lie within this
MIN_GRADED = 30  # below, a bootstrap interval is too narrow to prove "no difference"


def spent_at(look: int, first: float = FIRST_LOOK) -> float:
    """The chance of a false "better" that the nth look at the same test prompts may take.

    All looks together take at most ALPHA, however many there are: `first` for the first, and of
    the rest a half, a sixth, a twelfth, ... (1 / (n (n - 1)), whose sum is 1). Alpha spending
    (Lan and DeMets 1983, Biometrika 70:659) by the union bound, so it does not matter how alike
    the tested models are.
    """
    return first if look <= 1 else (ALPHA - first) / (look * (look - 1))
