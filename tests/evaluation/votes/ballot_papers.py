"""Votes of tests, by what was chosen instead of by the button."""

from finetune_app.evaluation.models import Vote, Voter
from finetune_app.evaluation.votes import services as votes
from finetune_app.evaluation.votes import voters
from finetune_app.evaluation.votes.ballots import control_of


def position_of(voter: Voter, index: int, control: str = "") -> int:
    """Where the voter is shown this prompt, as a pair that counts or as a control pair."""
    keys = [voters.key_of(pair) for pair in voter.pairs]
    return keys.index((index, control))


def button_of(voter: Voter, position: int, chosen: str) -> str:
    """The button for "ours", "base", "control", "tie" or "neither"."""
    pair = voter.pairs[position]
    side = control_of(pair) if chosen == "control" else chosen
    return {pair["left"]: "a", pair["right"]: "b"}.get(side, chosen)


def choose(voter: Voter, index: int, chosen: str, control: str = "") -> Vote:
    position = position_of(voter, index, control)
    pressed = button_of(voter, position, chosen)
    return votes.vote(voter=voter, position=position, pressed=pressed)


def control_pairs(voter: Voter) -> list[tuple[int, str]]:
    """(index, baseline) of the voter's control pairs."""
    return [(pair["index"], control_of(pair)) for pair in voter.pairs if control_of(pair)]


def real_indexes(voter: Voter) -> list[int]:
    return [pair["index"] for pair in voter.pairs if not control_of(pair)]
