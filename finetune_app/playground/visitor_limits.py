"""What a visitor of a public chat page may ask: how long, how much is remembered, and rate limits
for each visitor a minute and for all together a day."""

import logging
from typing import Literal

from limits import RateLimitItemPerDay, RateLimitItemPerMinute
from limits.errors import StorageError

from finetune_app.core.rate_limiter import limiter, visitor_id
from finetune_app.playground.models import PublicChat

MAX_QUESTION_CHARACTERS = 2_000
MAX_MESSAGES_REMEMBERED = 20  # ten questions with their answers
MAX_ANSWER_TOKENS = 400

log = logging.getLogger(__name__)


class VisitorLimitExceeded(Exception):
    """`reason`: this visitor's minute, the page's day, or questions cannot be counted now."""

    def __init__(self, reason: Literal["minute", "day", "uncounted"]) -> None:
        super().__init__(reason)
        self.reason = reason


def count_question(chat: PublicChat, ip: str) -> None:
    """Count one question. Without a key only this limits the page, so no question is answered while
    the broker is unreachable.

    Raises VisitorLimitExceeded.
    """
    minute = RateLimitItemPerMinute(chat.questions_per_minute)
    day = RateLimitItemPerDay(chat.questions_per_day)
    try:
        if not limiter().hit(minute, "visitor", str(chat.pk), visitor_id(str(chat.pk), ip)):
            raise VisitorLimitExceeded("minute")
        if not limiter().hit(day, "visits", str(chat.pk)):
            raise VisitorLimitExceeded("day")
    except StorageError as problem:
        log.warning("visits cannot be counted: the broker is out of reach")
        raise VisitorLimitExceeded("uncounted") from problem
