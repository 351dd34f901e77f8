"""The answer has the words of the wanted one in the same order, by ROUGE-L."""

from __future__ import annotations

import re

from rapidfuzz.distance import LCSseq

from finetune_app.goals.measures.base import AS_WANTED, Measure, Score, Setting

_WORD = re.compile(r"[^\W_]+")
MAX_WORDS = 5_000  # of one text; the rest does not count


class RougeL(Measure):
    """ROUGE-L: F1 over the longest common sequence of words. For summaries and longer answers."""

    kind = "rouge"
    graded = True
    tells_right = False
    settings_schema = {"threshold": Setting("share", "How close is close enough", 0.5)}

    def summary(self) -> str:
        return (
            f"Right when at least {self.settings['threshold']:.0%} of the words are those of the "
            "wanted answer, in the same order (ROUGE-L). Other words for the same do not count."
        )

    def instruction(self) -> str:
        return ""  # few-shot examples show how; a percentage would not

    def _check(self, answer: str, wanted: str) -> Score:
        if answer.split() == wanted.split():
            return AS_WANTED
        if not answer.strip():
            return Score(False, 0.0, "Empty answer")
        value = rouge_l(answer, wanted)
        passed = value >= self.settings["threshold"]
        # Rounded down, so that 49.9 % is not shown as the 50 % that it missed.
        return Score(passed, value, f"{'Close' if passed else 'Not close'}: {int(value * 100)}%")


def rouge_l(answer: str, wanted: str) -> float:
    """Return the F1 of ROUGE-L (Lin 2004, W04-1013), from 0 to 1, without stemming.

    Equals the package rouge-score for texts in ASCII. That one drops every other letter; here words
    of any script count.
    """
    got, target = words_of(answer), words_of(wanted)
    if not got or not target:
        return 0.0
    shared = LCSseq.similarity(got, target)
    return 2 * shared / (len(got) + len(target))


def words_of(text: str) -> list[str]:
    """Its first words in small letters, without punctuation."""
    return _WORD.findall(text.lower())[:MAX_WORDS]
