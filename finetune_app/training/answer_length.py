"""How long an answer may get during training and in the evaluation, in tokens."""

from finetune_app.goals.models import MeasureKind
from finetune_app.versions.models import Version

STRICT_MEASURES = (MeasureKind.EXACT, MeasureKind.JSON, MeasureKind.XML, MeasureKind.BASH)
STRICT_FACTOR, STRICT_MIN_TOKENS, STRICT_MAX_TOKENS = 2, 48, 512
FACTOR, MIN_TOKENS, MAX_TOKENS = 3, 256, 1_024


def max_new_tokens(measure: str, version: Version) -> int:
    """Longest answer by this measure.

    By a strict measure, an answer twice as long as the longest in the dataset is wrong whatever
    follows; by the others, it may be longer. The longest answer of the dataset always fits.
    """
    longest = version.longest_answer // 2 + 16  # at two characters per token, where four are usual
    if measure in STRICT_MEASURES:
        return max(longest, min(max(STRICT_FACTOR * longest, STRICT_MIN_TOKENS), STRICT_MAX_TOKENS))
    return max(longest, min(max(FACTOR * longest, MIN_TOKENS), MAX_TOKENS))
