"""Numbers and yes-or-no settings of the environment.

A wrong value raises ImproperlyConfigured with a sentence that names the variable and says what it
may be; manage.py shows the sentence without a traceback. An empty variable counts as not set.
"""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

YES = ("1", "true", "yes", "on")
NO = ("0", "false", "no", "off")
NICENESS = 10  # of heavy jobs


# Secrets that a file may hold, as Docker and Kubernetes hand them over: NAME_FILE names the file.
FILES_FOR = (
    "DATABASE_PASSWORD",
    "SECRET_KEY",
    "FIELD_KEYS",
    "KEY_PEPPER",
    "ENGINE_SECRET",
    "AWS_SECRET_ACCESS_KEY",
    "EMAIL_HOST_PASSWORD",
    "OIDC_CLIENT_SECRET",
    "METRICS_TOKEN",
)


def read_secret_files() -> None:
    """Set each variable whose NAME_FILE is given to what the file says. Raises
    ImproperlyConfigured where a file cannot be read or is empty."""
    for name in FILES_FOR:
        path = os.environ.get(f"{name}_FILE", "").strip()
        if not path:
            continue
        try:
            content = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(f"{name}_FILE names {path}: {error}.") from error
        if not content:
            raise ImproperlyConfigured(f"{name}_FILE names {path}, which is empty.")
        os.environ[name] = content


def without_file_secrets() -> dict[str, str]:
    """This environment for a program on another machine, which reads the files of secrets there."""
    named = {name for name in FILES_FOR if os.environ.get(f"{name}_FILE", "").strip()}
    return {name: value for name, value in os.environ.items() if name not in named}


def whole_number(name: str, default: int, *, least: int, most: int, unit: str = "") -> int:
    """A whole number from `least` to `most`; `unit` is for the sentence ("days")."""
    given = os.environ.get(name, "").strip()
    if not given:
        return default
    try:
        number = int(given)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        kind = f"a whole number of {unit}" if unit else "a whole number"
        raise _mistake(name, given, f"{kind} from {least} to {most}", default)
    return number


def number(name: str, default: float, *, least: float, most: float, unit: str = "") -> float:
    """A number from `least` to `most`, which may have decimals."""
    given = os.environ.get(name, "").strip()
    if not given:
        return default
    try:
        found = float(given)
    except ValueError:
        found = math.nan
    if not least <= found <= most:  # true of nan, too
        kind = f"a number of {unit}" if unit else "a number"
        raise _mistake(name, given, f"{kind} from {least:g} to {most:.0f}", default)
    return found


def flag(name: str, default: bool = False, environment: Mapping[str, str] = os.environ) -> bool:
    """Yes or no: 1, true, yes, on; or 0, false, no, off."""
    given = environment.get(name, "").strip()
    if not given:
        return default
    if given.lower() not in YES + NO:
        raise _mistake(name, given, "1 for yes or 0 for no", int(default))
    return given.lower() in YES


def choice(name: str, allowed: Sequence[str]) -> str:
    """One of `allowed`, or "" where it is not set."""
    given = os.environ.get(name, "").strip()
    if given and given not in allowed:
        raise _mistake(name, given, " or ".join(allowed), "none")
    return given


def address(name: str) -> str:
    """host:port, or "" where it is not set."""
    found = addresses(name)
    if len(found) > 1:
        raise _mistake(name, ",".join(found), "one host:port", "none")
    return found[0] if found else ""


def addresses(name: str) -> tuple[str, ...]:
    """Each host:port, with commas between them; none where it is not set."""
    given = os.environ.get(name, "")
    found = tuple(one.strip() for one in given.split(",") if one.strip())
    for one in found:
        host, _, port = one.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise _mistake(name, given, "host:port, with commas between several", "none")
    return found


def text_setting(name: str) -> str:
    """ "" where it is not set."""
    return os.environ.get(name, "").strip()


def niceness() -> int:
    """How far the processes of heavy jobs stand back, as in nice(1). Read without settings, too."""
    return whole_number("FINETUNE_NICENESS", NICENESS, least=0, most=19)


def cards_per_worker() -> int:
    """How many graphics cards one training uses, where a machine has several."""
    return whole_number("CARDS_PER_WORKER", 1, least=1, most=64)


def team_jobs_at_once() -> int:
    """How many heavy jobs of one team may run at once; 0: no limit."""
    return whole_number("TEAM_JOBS_AT_ONCE", 0, least=0, most=10_000)


def team_hours_a_month() -> float:
    """How many hours heavy jobs of one team may run in a calendar month; 0: no limit."""
    return number("TEAM_HOURS_A_MONTH", 0, least=0, most=1_000_000, unit="hours")


def read_all() -> None:
    """So that a mistake in one of these ends the start. Raises ImproperlyConfigured."""
    for read in (
        niceness,
        cards_per_worker,
        team_jobs_at_once,
        team_hours_a_month,
        hub_is_offline,
    ):
        read()


def hub_is_offline() -> bool:
    """Whether the Hugging Face Hub is not to be asked. Read without settings, too."""
    return flag("HF_HUB_OFFLINE")


def _mistake(name: str, given: str, allowed: str, default: object) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"{name} is {given!r}. Set it to {allowed}, or leave it out for {default}."
    )
