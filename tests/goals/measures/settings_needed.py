"""Settings for the kinds of measure that cannot do without."""

NEEDED: dict[str, dict[str, object]] = {
    "rules": {"max_words": 20},
    "pattern": {"pattern": "INV-[0-9]+"},
}
