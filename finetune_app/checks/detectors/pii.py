"""Detection of personal data and secrets. Pure Python, no network.

Each kind has a cheap pattern and a validation: the check digit of a card number (Luhn), the
remainder of an IBAN (mod 97), the numbering plan of a country for phone numbers (phonenumbers),
a public range for IP addresses. Names and street addresses are not detected. Why this is not a
library: docs/decisions/0029.
"""

import ipaddress
import re
from bisect import bisect
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Span(NamedTuple):
    """A part of a text and the kind of data in it."""

    start: int
    end: int
    what: str


SECRETS = ("private_key", "api_key", "password")
MAX_CHARACTERS = 200_000  # characters of a message that are scanned

_EMAIL = re.compile(
    r"(?<![\w.+@/-])[a-zA-Z0-9][\w.%+-]{0,63}@(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)"
    r"+[a-zA-Z]{2,24}(?![\w@])"
)
_NOBODY = re.compile(r"(^|[@.])(example|test|invalid|localhost|local|lan)(\.(com|org|net))?$", re.I)
_LINK_BEFORE = re.compile(r"://[^\s/]*$")
_CARD = re.compile(r"(?<![\w.-])[2-6]\d{3}(?:[ -]?\d){8,15}(?![\w-]|\.\d)")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?!\w)")
_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{1,4}(?![\w:])")
_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_MANY_DIGITS = re.compile(r"(?:\d[\s().\-/]{0,3}){7}")
_CALLING = re.compile(
    r"\b(?:call|phone|tel|telephone|mobile|cell|fax|whatsapp|sms|text me|ring|number|reach|contact|"
    r"telefon\w*|handy|mobil|nummer|anrufen|ruf|rückruf|t[ée]l[ée]phone|portable|appel\w*|"
    r"tel[ée]fono|m[óo]vil|llam\w*|cellulare|numero)\b",
    re.I,
)
_COUNTRIES = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "AT", "CH", "IN")
# Well-known public DNS servers are not personal data.
_PUBLIC_DNS = {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222", "4.2.2.2"}

_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:(?!-----BEGIN)[\s\S]){0,8000}?-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----)?"
)
_API_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{40,255}|glpat-[\w-]{20,}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}"
    r"|AIza[0-9A-Za-z_-]{35}"
    r"|sk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}|[srp]k_(?:live|test)_[0-9A-Za-z]{16,}"
    r"|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{40,}"
    r"|SG\.[\w-]{16,32}\.[\w-]{16,64}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
    r")(?![A-Za-z0-9])"
)
_PASSWORD = re.compile(
    r"\b(?:pass(?:word|wd|code|phrase)?|pwd|passwor[dt]|kennwort|mot de passe|contrase[ñn]a|secret"
    r"|(?:api|access|secret|auth)[ _-]?(?:key|token))"
    r"\b[\"']?(?:\s++(?:is|was|ist|lautet|est|es)\s*+:?|\s*+[:=])\s*+[\"']?([^\s\"'<>,;]{6,128})",
    re.I,
)
_IN_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@]{1,64}:([^\s/@]{3,128})@")
_BEARER = re.compile(r"\bBearer\s+([A-Za-z0-9._~+/-]{20,}=*)")
_STANDS_FOR = re.compile(
    r"^[<\[{$%*(/`]|\$\{|\{\{|^x{3,}|\*{3}|your|example|pass|secret|change.?me|here|hidden|redacted",
    re.I,
)


def personal(text: str) -> list[Span]:
    """Spans of e-mail addresses, card numbers, IBANs, phone numbers and the like; no overlaps."""
    text = text[:MAX_CHARACTERS]
    found: list[Span] = []
    if "@" in text:
        found += _spans(_EMAIL, text, "email", _is_somebody)
    if sum(map(str.isdigit, text)) >= 7:
        found += _ibans(text)
        found += _spans(_CARD, text, "card", _is_card)
        found += _spans(_SSN, text, "ssn")
        found += _spans(_IPV4, text, "ip", _is_public)
        found += _phones(text)
    if text.count(":") >= 3:
        found += _spans(_IPV6, text, "ip", _is_public)
    return without_overlaps(found)


def secrets(text: str) -> list[Span]:
    """Spans of keys and passwords; no overlaps."""
    text = text[:MAX_CHARACTERS]
    found = [Span(*m.span(), "private_key") for m in _PRIVATE_KEY.finditer(text)]
    found += [Span(*m.span(), "api_key") for m in _API_KEY.finditer(text)]
    found += [Span(*m.span(1), "api_key") for m in _BEARER.finditer(text)]
    for pattern in (_PASSWORD, _IN_ADDRESS):
        found += [
            Span(*m.span(1), "password")
            for m in pattern.finditer(text)
            if _is_password(m.group(1), pattern is _IN_ADDRESS)
        ]
    return without_overlaps(found)


def redacted(text: str, spans: list[Span]) -> str:
    """The text with each span replaced by a placeholder such as [email]."""
    for start, end, what in sorted(spans, reverse=True):
        text = f"{text[:start]}[{what}]{text[end:]}"
    return text


def _spans(
    pattern: re.Pattern[str],
    text: str,
    what: str,
    is_valid: Callable[[re.Match[str]], bool] = lambda match: True,
) -> Iterator[Span]:
    return (Span(*match.span(), what) for match in pattern.finditer(text) if is_valid(match))


def without_overlaps(found: list[Span]) -> list[Span]:
    """The spans in order. Of two that overlap, the one found first stays."""
    kept: list[Span] = []  # in order
    for span in found:
        at = bisect(kept, span)
        after_previous = at == 0 or kept[at - 1].end <= span.start
        if after_previous and (at == len(kept) or span.end <= kept[at].start):
            kept.insert(at, span)
    return kept


def _is_somebody(match: re.Match[str]) -> bool:
    """Not a placeholder, a repository address or a copy target (user@host:path)."""
    address, after = match.group().lower(), match.string[match.end() : match.end() + 2]
    name, _at, domain = address.partition("@")
    to_a_machine = after[:1] == ":" and after[1:] not in ("", " ", "\n")
    in_a_link = _LINK_BEFORE.search(match.string, max(0, match.start() - 80), match.start())
    names_nobody = name in ("git", "user", "username") or _NOBODY.search(domain)
    return not (to_a_machine or in_a_link or names_nobody)


def _is_card(match: re.Match[str]) -> bool:
    digits = [int(one) for one in match.group() if one.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 2:
        return False
    double = [2 * digit - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(double)) % 10 == 0


def _ibans(text: str) -> Iterator[Span]:
    """A capitalised word after the number may match too: it is dropped."""
    for match in _IBAN.finditer(text):
        code = match.group()
        while code and not _is_iban(code):
            code = code.rpartition(" ")[0]
        if code:
            yield Span(match.start(), match.start() + len(code), "iban")


def _is_iban(text: str) -> bool:
    code = text.replace(" ", "")
    if not 15 <= len(code) <= 34:
        return False
    return int("".join(str(int(one, 36)) for one in code[4:] + code[:4])) % 97 == 1


def _is_public(match: re.Match[str]) -> bool:
    try:
        address = ipaddress.ip_address(match.group())
    except ValueError:
        return False
    before = match.string[max(0, match.start() - 9) : match.start()].lower()
    return address.is_global and match.group() not in _PUBLIC_DNS and "version" not in before


def _phones(text: str) -> Iterator[Span]:
    if not _MANY_DIGITS.search(text):
        return
    # Here, since every process imports this file, and most look for no number.
    from phonenumbers import Leniency, PhoneNumberMatcher

    for match in PhoneNumberMatcher(text, None, Leniency.VALID):  # international, with +
        yield Span(match.start, match.end, "phone")
    if _CALLING.search(text):
        for country in _COUNTRIES:
            for match in PhoneNumberMatcher(text, country, Leniency.VALID, max_tries=50):
                if _follows_call_word(text, match.start):
                    yield Span(match.start, match.end, "phone")


def _follows_call_word(text: str, start: int) -> bool:
    return bool(_CALLING.search(text, max(0, start - 60), start))


def _is_password(value: str, in_address: bool) -> bool:
    """Whether the value looks like a real password and not like a placeholder."""
    if _STANDS_FOR.search(value):
        return False
    if in_address:
        return True
    if len(value) >= 16 and value.lower() != value != value.upper():
        return True
    kinds = (str.isdigit, str.isalpha, lambda one: not one.isalnum())
    return sum(any(kind(one) for one in value.rstrip(".!?)")) for kind in kinds) >= 2
