"""How often somebody without an account may vote, by their network address, and come as a new
voter. Votes from one office share an address, so the limits leave room for a dozen people."""

import logging

from limits import RateLimitItemPerHour, RateLimitItemPerMinute
from limits.errors import StorageError

from finetune_app.core.rate_limiter import limiter, visitor_id
from finetune_app.evaluation.models import VoteLink

VOTES = RateLimitItemPerMinute(120)
NEW_VOTERS = RateLimitItemPerHour(30)
MAX_VOTERS = 200  # by one link

log = logging.getLogger(__name__)


class VoteLimitExceeded(Exception):
    """`counted`: whether it was too much; False while nothing can be counted."""

    def __init__(self, *, counted: bool) -> None:
        super().__init__(counted)
        self.counted = counted


def count_vote(link: VoteLink, ip: str) -> None:
    """Raises VoteLimitExceeded."""
    _hit(VOTES, "votes", link, ip)


def count_voter(link: VoteLink, ip: str) -> None:
    """Raises VoteLimitExceeded."""
    if link.voters.count() >= MAX_VOTERS:
        raise VoteLimitExceeded(counted=True)
    _hit(NEW_VOTERS, "voters", link, ip)


def _hit(
    limit: RateLimitItemPerMinute | RateLimitItemPerHour, what: str, link: VoteLink, ip: str
) -> None:
    """Nothing else guards the link, so nobody votes while the broker is unreachable."""
    try:
        if not limiter().hit(limit, what, str(link.pk), visitor_id(f"votes {link.pk}", ip)):
            raise VoteLimitExceeded(counted=True)
    except StorageError as problem:
        log.warning("votes cannot be counted: the broker is out of reach")
        raise VoteLimitExceeded(counted=False) from problem
