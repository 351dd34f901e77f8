"""400 plain sentences, each in an old-fashioned wording: a task on which repeating scores well.

`free_pairs`: whether a plain word is replaced, by which old one, and in what order the parts come,
is drawn by lot, as a person would choose. So the wanted answer shares much with the question, and
nobody can know the rest of it.
`fixed_pairs`: each phrase has its one old wording, and each sentence its one order: to be learned.
"""

import itertools
import random
from collections.abc import Callable

SEED = 29
PLAIN_WORD = 0.6  # how often a phrase stays as it is
PEOPLE = {
    "my brother Edmund": ("mine own brother Edmund", "Edmund, my brother"),
    "the doctor from Wexcombe": ("the physician out of Wexcombe", "that leech of Wexcombe"),
    "your neighbour Lady Marsden": ("thy neighbour Lady Marsden", "Lady Marsden hard by thee"),
    "Captain Harcourt": ("brave Captain Harcourt", "Harcourt, our captain"),
    "my friend Tom Pellow": ("honest Tom Pellow", "Tom Pellow, my heart’s friend"),
    "the widow Agnes Thorne": ("Agnes Thorne, that widow", "the poor widow Agnes Thorne"),
    "our teacher Master Quill": ("learned Master Quill", "Master Quill that taught us"),
    "the young man with the lute": ("the youth with the lute", "yon boy that bears the lute"),
}
THINGS = {
    "the letter with the red seal": ("the writ with the red seal", "that letter sealed in red"),
    "twelve bags of silver": ("twelve bags of bright silver", "silver, twelve bags of it"),
    "the house behind the mill": ("the dwelling behind the mill", "the house that backs the mill"),
    "the key to the north tower": ("the key of the north tower", "the north tower’s key"),
    "a grey horse and its saddle": ("a grey steed and its saddle", "a horse all grey, and saddled"),
    "the quarrel about the harvest": ("the strife about the harvest", "our harvest quarrel"),
    "the ring of his grandmother": ("the ring his grandam wore", "his grandmother’s own ring"),
    "bread and cheese for the guests": ("bread and cheese for them that come", "the guests’ bread"),
}
PLACES = {
    "at the old stone bridge": ("by the old stone bridge", "upon the old bridge of stone"),
    "in the garden of the abbey": ("within the abbey garden", "in the abbey’s garden"),
    "on the road to Salisbury": ("upon the Salisbury road", "on the way to Salisbury"),
    "under the great oak": ("beneath the great oak", "where the great oak stands"),
    "in front of the town gate": ("before the town gate", "at the gate of the town"),
}
TIMES = {
    "on Thursday evening": ("Thursday at evening", "of a Thursday evening"),
    "before the bells rang": ("ere the bells rang", "before ever a bell rang"),
    "in the middle of the night": ("at dead of night", "in the middle watch of the night"),
    "after the long rain": ("when the long rain was done", "after so long a rain"),
    "three days ago": ("three days gone", "three days since"),
}
FRAMES = (
    (
        "I gave {who} {what} {where} {when}.",
        "I gave {who} {what} {where} {when}, I did.",
        "{when}, {where}, I gave {who} {what}.",
        "{what} I gave to {who} {where} {when}.",
    ),
    (
        "{who} spoke of {what} {where} {when}.",
        "{where} {who} spoke of {what} {when}.",
        "{when} {who} spoke {where} of {what}.",
        "Of {what} spoke {who} {where} {when}.",
    ),
    (
        "We met {who} {where} {when} and asked for {what}.",
        "{when} we met {who} {where} and asked for {what}.",
        "We asked for {what} when we met {who} {where} {when}.",
        "{where} {when} met we {who}, and asked for {what}.",
    ),
    (
        "Nobody told {who} that {what} was seen {where} {when}.",
        "None told {who} that {what} was seen {where} {when}.",
        "That {what} was seen {where} {when}, nobody told {who}.",
        "{when} was {what} seen {where}, and nobody told {who}.",
    ),
)


Parts = tuple[tuple[str, ...], str, str, str, str]  # frame, who, what, where, when
Pair = tuple[str, str]  # plain sentence, old wording


def free_pairs(count: int = 400) -> list[Pair]:
    draw = random.Random(SEED)

    def reworded(phrase: str, choices: tuple[str, ...]) -> str:
        return phrase if draw.random() < PLAIN_WORD else draw.choice(choices)

    return [_pair(parts, draw.choice(parts[0][1:]), reworded) for parts in _sentences(draw, count)]


def fixed_pairs(count: int = 400) -> list[Pair]:
    draw = random.Random(SEED)
    return [
        _pair(parts, parts[0][-1], lambda _phrase, choices: choices[0])
        for parts in _sentences(draw, count)
    ]


def _sentences(draw: random.Random, count: int) -> list[Parts]:
    """No plain sentence twice."""
    return draw.sample(list(itertools.product(FRAMES, PEOPLE, THINGS, PLACES, TIMES)), count)


def _pair(parts: Parts, old_frame: str, reworded: Callable[[str, tuple[str, ...]], str]) -> Pair:
    frame, who, what, where, when = parts
    question = frame[0].format(who=who, what=what, where=where, when=when)
    wanted = old_frame.format(
        who=reworded(who, PEOPLE[who]),
        what=reworded(what, THINGS[what]),
        where=reworded(where, PLACES[where]),
        when=reworded(when, TIMES[when]),
    )
    return _capitalised(question), _capitalised(wanted)


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
