"""Placeholders for a missing answer, compared with the normalised text of an answer."""

NO_ANSWER = {
    "n/a",
    "#n/a",
    "na",
    "n.a.",
    "null",
    "nan",
    "tbd",
    "todo",
    "-",
    "--",
    "?",
    "…",
    "...",
    "undefined",
    "no answer",
    "keine antwort",
}
# These may be real answers ("none" as a label), which only the whole dataset shows.
PERHAPS_NO_ANSWER = {"none", "nil", "unknown", "empty"}
