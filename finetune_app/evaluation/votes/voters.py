"""Who votes: members of the team, and people who come by a link."""

from random import Random, SystemRandom

from django.db import transaction

from finetune_app.accounts.models import User
from finetune_app.evaluation.models import Evaluation, Vote, VoteLink, Voter
from finetune_app.evaluation.votes.ballots import MAX_PAIRS_BY_LINK, Pair, control_of, draw_pairs


def member_voter(evaluation: Evaluation, user: User) -> Voter:
    """The voter that this member is; not stored before their first vote.

    Only where a person decides and the names are hidden is a member blind: elsewhere the results
    are open to the whole team.
    """
    known = evaluation.voters.filter(user=user).first()
    if known:
        return known
    random = Random(f"{evaluation.pk}:{user.pk}")  # the same pairs until the first vote
    return Voter(
        evaluation=evaluation,
        user=user,
        name=user.name[:60],
        blind=evaluation.hides_names,
        pairs=draw_pairs(evaluation, random),
    )


@transaction.atomic
def store_member(voter: Voter, link: VoteLink | None = None) -> Voter:
    """The stored voter; their votes from before there were voters become theirs."""
    if voter.pk:
        return voter
    found, _new = Voter.objects.get_or_create(
        evaluation=voter.evaluation,
        user=voter.user,
        defaults={
            "link": link,
            "name": voter.name,
            "blind": voter.blind,
            "pairs": voter.pairs,
        },
    )
    voter.evaluation.votes.filter(by=voter.user, voter=None).update(voter=found)
    return found


def guest_voter(*, link: VoteLink, name: str) -> Voter:
    """A new voter without an account. Nobody can compute what is on which side."""
    pairs = draw_pairs(link.evaluation, SystemRandom(), MAX_PAIRS_BY_LINK)
    return Voter.objects.create(
        evaluation=link.evaluation, link=link, name=name.strip(), pairs=pairs
    )


def next_position(voter: Voter) -> int | None:
    """The position in `voter.pairs` of the first pair without a vote; None if all have one."""
    voted = set(voter.votes.values_list("index", "control")) if voter.pk else set()
    return next((at for at, pair in enumerate(voter.pairs) if key_of(pair) not in voted), None)


def count_votes(voter: Voter) -> int:
    return voter.votes.count() if voter.pk else 0


def last_vote(voter: Voter) -> Vote | None:
    return voter.votes.order_by("-at", "-pk").first() if voter.pk else None


def key_of(pair: Pair) -> tuple[int, str]:
    return pair["index"], control_of(pair)
