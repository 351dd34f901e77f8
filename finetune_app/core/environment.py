"""Numbers and yes-or-no settings of the environment.

A wrong value raises ImproperlyConfigured with a sentence that names the variable and says what it
may be; manage.py shows the sentence without a traceback. An empty variable counts as not set.
"""

import math
import os
from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured

YES = ("1", "true", "yes", "on")
NO = ("0", "false", "no", "off")
NICENESS = 10  # of heavy jobs


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


def text_setting(name: str) -> str:
    """ "" where it is not set."""
    return os.environ.get(name, "").strip()


def niceness() -> int:
    """How far the processes of heavy jobs stand back, as in nice(1). Read without settings, too."""
    return whole_number("FINETUNE_NICENESS", NICENESS, least=0, most=19)


def hub_is_offline() -> bool:
    """Whether the Hugging Face Hub is not to be asked. Read without settings, too."""
    return flag("HF_HUB_OFFLINE")


def _mistake(name: str, given: str, allowed: str, default: object) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"{name} is {given!r}. Set it to {allowed}, or leave it out for {default}."
    )
