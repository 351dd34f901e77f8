"""What the licence of a base model says about passing on a model that was made from it.

A summary to decide by, not advice: the page always links to the licence itself.
"""

from dataclasses import dataclass
from enum import Enum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from finetune_app.basemodels.models import BaseModel

HUB_LICENCES = {  # our words for a licence: the hub's identifier
    "apache 2.0": "apache-2.0",
    "gemma terms": "gemma",
    "llama 3 community": "llama3",
    "llama 3.1 community": "llama3.1",
    "llama 3.2 community": "llama3.2",
    "llama 3.3 community": "llama3.3",
}
FREE = {
    "afl-3.0",
    "apache-2.0",
    "artistic-2.0",
    "bsd",
    "bsd-2-clause",
    "bsd-3-clause",
    "cc-by-4.0",
    "cc0-1.0",
    "isc",
    "mit",
    "ms-pl",
    "unlicense",
    "zlib",
}


class Rule(Enum):
    FREE = "free"  # with the licence's own text, which goes along
    TERMS = "terms"  # whoever passes it on has to do something
    UNKNOWN = "unknown"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True)
class LicenceTerms:
    """identifier: the hub's, "" where there is none. names: how a repository's name has to begin.
    notice: a sentence that has to stand in the model card."""

    identifier: str
    name: str
    rule: Rule
    words: str | Promise
    names: str = ""
    notice: str = ""


FREE_WORDS = _("It allows you to pass on what was made from it, with its text.")
LLAMA_WORDS = _(
    "It allows you to pass it on if its text goes with it, the name begins with “Llama”, the model "
    "card says “Built with Llama”, and those who take it keep to Meta's rules of use."
)
GEMMA_WORDS = _(
    "It allows you to pass it on if its text and Google's rules of use go with it, and those who "
    "take it are bound to them."
)
SHARE_ALIKE_WORDS = _("What was made from it may be passed on only under the same licence.")
NOT_COMMERCIAL_WORDS = _("What was made from it may be passed on, and not be used for business.")
FORBIDDEN_WORDS = _("It forbids passing on changed versions, and a tuned model is one.")
UNKNOWN_WORDS = _(
    "Finetune does not know this licence. Read whether it allows you to pass on what was made from "
    "the model."
)
NONE_WORDS = _(
    "No licence is recorded for the base model, for example because it came from a folder. Without "
    "one you may not pass on what was made from it, unless its maker has allowed you to."
)


def terms_of(base: BaseModel) -> LicenceTerms:
    """By the licence that the catalogue, or the hub when the model was installed, told."""
    given = base.licence.strip().lower()
    identifier = HUB_LICENCES.get(given, given)
    name = base.licence.strip()
    if not identifier:
        return LicenceTerms("", name, Rule.UNKNOWN, NONE_WORDS)
    if identifier in FREE and not base.gated:
        return LicenceTerms(identifier, name, Rule.FREE, FREE_WORDS)
    if identifier.startswith("llama"):
        return LicenceTerms(
            identifier, name, Rule.TERMS, LLAMA_WORDS, _prefix(identifier), "Built with Llama."
        )
    if identifier == "gemma":
        return LicenceTerms(identifier, name, Rule.TERMS, GEMMA_WORDS)
    parts = identifier.split("-")
    if "nd" in parts:
        return LicenceTerms(identifier, name, Rule.FORBIDDEN, FORBIDDEN_WORDS)
    if "nc" in parts:
        return LicenceTerms(identifier, name, Rule.TERMS, NOT_COMMERCIAL_WORDS)
    if "sa" in parts or parts[0] in ("gpl", "agpl", "lgpl"):
        return LicenceTerms(identifier, name, Rule.TERMS, SHARE_ALIKE_WORDS)
    return LicenceTerms(identifier, name, Rule.UNKNOWN, UNKNOWN_WORDS)


def hub_identifier(base: BaseModel) -> str | None:
    """For the first lines of a model card: "other" where the hub has no name for it."""
    given = base.licence.strip().lower()
    identifier = HUB_LICENCES.get(given, given)
    known = identifier in FREE or identifier in HUB_LICENCES.values()
    is_listed = known or identifier.startswith(("cc-by", "gpl", "agpl", "lgpl", "openrail"))
    if not identifier:
        return None
    return identifier if is_listed else "other"


def _prefix(identifier: str) -> str:
    """Llama 2's licence asks for no name."""
    return "" if identifier == "llama2" else "Llama"
