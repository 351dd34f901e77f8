"""How many passages of the documents are found, shown and given to a model, and when all are."""

SHOWN_PASSAGES = 5  # on the documents page, for a question
MEASURED_PASSAGES = 5  # among which an answer must be, when the search itself is measured

# Given to a model with each question, by its parameter count. Small models lose the answer among
# many: the starter has 14 of 40 right with one passage and 2 of 40 with five
# (docs/decisions/0011).
PASSAGE_COUNTS = ((500_000_000, 1), (3_000_000_000, 3))
DEFAULT_PASSAGE_COUNT = 5
# Documents of at most this length are put into the prompt whole. The share of the context leaves
# room for a question of about the same length; beside a longer one they are searched.
MAX_WHOLE_CHARACTERS = 12_000
WHOLE_CHARS_PER_CONTEXT_TOKEN = 0.75


def passage_count_for(parameters: int) -> int:
    """Passages per question for a model of this size; `parameters` is 0 when unknown."""
    if not parameters:
        return DEFAULT_PASSAGE_COUNT
    return next(
        (count for most, count in PASSAGE_COUNTS if parameters < most), DEFAULT_PASSAGE_COUNT
    )
