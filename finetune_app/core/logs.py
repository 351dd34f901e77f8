"""Every log line carries the id of the request it belongs to, is one line, and holds no secret."""

import contextvars
import logging
import re
from copy import copy

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")

# Ours, and those of platforms as they usually look, wherever a library writes them.
SECRET = re.compile(
    r"(?P<before>\bft-[0-9a-f]{8}-|\bhf_|\bsk-|(?i:bearer\s+)|/join/|(?<![0-9])/chat/|[?&]code=)[\w.~+/=-]{6,}"
)


class RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


class LineFormatter(logging.Formatter):
    """What somebody sent cannot pass for another line, nor bring a key into the log. The lines of
    a traceback stay lines."""

    def format(self, record: logging.LogRecord) -> str:
        plain = copy(record)
        plain.msg, plain.args = one_line(record.getMessage()), None
        return without_secrets(super().format(plain))


def one_line(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def without_secrets(text: str) -> str:
    return SECRET.sub(r"\g<before>…", text)
