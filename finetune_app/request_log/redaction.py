"""What is taken out of a text before it is written down: personal data and secrets.

The same kinds as the dataset's check finds (checks/detectors/pii.py), and names where the words
around them say that they are names: a greeting, a closing, “my name is”. A name in the middle of a
sentence is not found; the page says so before anybody switches this on.
"""

import re
from typing import NamedTuple

from finetune_app.checks.detectors import pii
from finetune_app.checks.detectors.pii import Span

LONGEST = 20_000  # characters of a message that are kept

_NAME = r"[^\W\d_a-z][^\W\d_]+(?:[-'’][^\W\d_a-z][^\W\d_]+)*"
_OF = r"(?:(?:van|von|de|da|der|den|ter|del|della|di|du|la|le|bin|al|y|e)[ \t]+){0,2}"
_NAMES = rf"(?P<name>(?:{_NAME}|[^\W\d_a-z]\.)(?:[ \t]+{_OF}(?:{_NAME}|[^\W\d_a-z]\.)){{0,3}})"
_SAYS_SO = (
    # my name is Mara Lind; ich heiße, je m'appelle, me llamo
    re.compile(
        rf"\b(?i:my name is|my name['’]s|this is|name:|ich hei(?:ß|ss)e|mein name ist|"
        rf"je m['’]appelle|me llamo|mi nombre es|mi chiamo)[ \t]+{_NAMES}"
    ),
    # Dear Mrs Lind, Hello Mara, Hallo Frau Lind
    re.compile(
        rf"(?m)^[ \t]*(?i:dear|hello|hi|hey|hallo|liebe[r]?|sehr geehrte[r]?|guten tag|bonjour|"
        rf"cher|ch[eè]re|hola|estimad[oa]|ciao|gentile)[ \t]+"
        rf"(?:(?i:mr|mrs|ms|dr|prof|herr[n]?|frau|madame|monsieur|se[ñn]or[a]?|sig)\.?[ \t]+)*"
        rf"{_NAMES}(?=[ \t]*(?:[,!:.\n]|$))"
    ),
    # Mrs Lind, Herr Lind, wherever they stand
    re.compile(
        rf"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Herrn|Frau|Madame|Monsieur)\.?[ \t]+"
        rf"(?:(?:Dr|Prof)\.?[ \t]+)*{_NAMES}"
    ),
    # Kind regards, and on the next line who sends them
    re.compile(
        rf"(?m)^[ \t]*(?i:(?:kind|best|warm|many)?[ \t]*regards|sincerely|yours(?: truly)?|best|"
        rf"cheers|thanks|thank you|many thanks|"
        rf"(?:viele|liebe|beste|mit freundlichen) gr(?:ü|ue)(?:ß|ss)en?|"
        rf"cordialement|saludos|cordiali saluti)[ \t]*[,.!]?[ \t]*\n\s*{_NAMES}[ \t]*(?:\n|$)"
    ),
)
_NOT_NAMES = re.compile(r"(?i)^(?:there|all|everyone|team|support|you|the|a|an|it|i)$")


class Redacted(NamedTuple):
    text: str
    taken: int  # stretches taken out


def redact(text: str) -> Redacted:
    """The text with each such stretch replaced by its kind, such as [email]; cut to LONGEST
    characters, and never in the middle of one."""
    text = text[: pii.LONGEST].replace("\x00", "")  # which PostgreSQL cannot keep
    spans = _apart([*pii.secrets(text), *pii.personal(text), *names(text)])
    return Redacted(pii.redacted(text, spans)[:LONGEST], len(spans))


def names(text: str) -> list[Span]:
    """Names that the words around them give away."""
    found = []
    for pattern in _SAYS_SO:
        for match in pattern.finditer(text[:LONGEST]):
            if not _NOT_NAMES.match(match.group("name")):
                found.append(Span(*match.span("name"), "name"))
    return found


def _apart(spans: list[Span]) -> list[Span]:
    """Of two that overlap the one that was looked for first."""
    kept: list[Span] = []
    for span in spans:
        if all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
    return kept
