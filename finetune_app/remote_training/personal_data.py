"""Personal data and secrets in what would be sent: in the version, not in today's examples."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from finetune_app.checks.detectors import pii
from finetune_app.checks.row_texts import row_texts
from finetune_app.datasets.version_rows import rows_in
from finetune_app.versions.models import Version
from finetune_app.versions.reader import write_without_test_rows

MAX_CHARACTERS = 5_000_000  # looked through, about ten seconds
MAX_KNOWN = 1000
_known: dict[tuple[str, int], "PersonalData"] = {}  # by the hash of the version


@dataclass(frozen=True)
class PersonalData:
    """rows: in which something was found. is_complete: all were looked through."""

    rows: int
    is_complete: bool

    def __bool__(self) -> bool:
        """Whether a word about it is needed before anything is sent."""
        return self.rows > 0 or not self.is_complete


def personal_data_in(version: Version) -> PersonalData:
    """A version never changes, so each process looks through it once."""
    key = (version.sha256, MAX_CHARACTERS)
    if key not in _known:
        while len(_known) >= MAX_KNOWN:
            _known.pop(next(iter(_known)))
        _known[key] = _look_through(version)
    return _known[key]


def _look_through(version: Version) -> PersonalData:
    found, characters = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_without_test_rows(version, path)
        for row in rows_in(path)():
            texts = row_texts(row["messages"], row.get("rejected", ""))
            characters += sum(map(len, texts))
            if characters > MAX_CHARACTERS:
                return PersonalData(found, is_complete=False)
            found += any(pii.personal(text) or pii.secrets(text) for text in texts)
    return PersonalData(found, is_complete=True)
