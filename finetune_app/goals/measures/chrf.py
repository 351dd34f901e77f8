"""The answer is worded much like the wanted one, by chrF: similarity of character n-grams."""

from __future__ import annotations

from collections import Counter

from finetune_app.goals.measures.base import Measure, Score, Setting

MAX_NGRAM = 6
RECALL_WEIGHT = 2.0  # beta


class ChrfSimilarity(Measure):
    """chrF: the share of character n-grams, of one to six characters, that both answers contain."""

    kind = "close"
    graded = True
    tells_right = False
    settings_schema = {
        "threshold": Setting("share", "How close is close enough", 0.6),
        "ignore_case": Setting("switch", "Treat capital and small letters alike", True),
    }

    def summary(self) -> str:
        return (
            f"Right when the wording is at least {self.settings['threshold']:.0%} like the "
            "wanted answer, by the pieces of words they share (chrF)."
        )

    def instruction(self) -> str:
        return ""  # few-shot examples show how; a percentage would not

    def _check(self, answer: str, wanted: str) -> Score:
        if self.settings["ignore_case"]:
            answer, wanted = answer.casefold(), wanted.casefold()
        value = chrf(answer, wanted)
        passed = value >= self.settings["threshold"]
        if value == 1.0:
            return Score(True, value, "As wanted")
        # Rounded down, so that 59.9 % is not shown as the 60 % that it missed.
        return Score(passed, value, f"{'Close' if passed else 'Not close'}: {int(value * 100)}%")


def chrf(answer: str, wanted: str) -> float:
    """Return the chrF2 score (Popović 2015, W15-3049), from 0 to 1.

    White space is ignored. Orders that a text is too short for are left out, as in sacreBLEU.
    """
    answer, wanted = "".join(answer.split()), "".join(wanted.split())
    if answer == wanted:
        return 1.0
    precisions, recalls = [], []
    for size in range(1, MAX_NGRAM + 1):
        got, target = _ngrams(answer, size), _ngrams(wanted, size)
        if not got or not target:
            continue
        shared = (got & target).total()
        precisions.append(shared / got.total())
        recalls.append(shared / target.total())
    if not precisions:
        return 0.0
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    weight = RECALL_WEIGHT**2
    low = weight * precision + recall
    # In short texts, the same letters in another order could reach 1; only equal texts may.
    return min((1 + weight) * precision * recall / low, 0.9999) if low else 0.0


def _ngrams(text: str, size: int) -> Counter[str]:
    return Counter(text[start : start + size] for start in range(len(text) - size + 1))
