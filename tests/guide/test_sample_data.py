"""The sample dataset: consistent answers, and test emails that are not close to training emails."""

import re
from collections import Counter
from itertools import product

import pytest
from datasketch import MinHash, MinHashLSH

from finetune_app.goals.measures import get_measure
from finetune_app.guide.sample import new_wording, sample

DESKS = {"repair": "workshop", "delivery": "office", "return": "office", "hire": "counter"}
DUES = ("today", "this_week")
SIZES = {"train": 240, "validation": 40, "test": 60}
MAX_SIMILARITY = 0.6
SHINGLE_WORDS = 2  # short texts share few longer shingles, so two is the strict choice
PERMUTATIONS = 256
COMMON = {
    "did",
    "from",
    "had",
    "has",
    "have",
    "here",
    "should",
    "was",
    "what",
    "when",
    "whether",
    "will",
    "with",
    "would",
    "yet",
    "since",
    "before",
    "we're",
}


def emails(split: str) -> list[tuple[str, str]]:
    """(email, answer) of one split."""
    return [
        (row["messages"][0]["content"], row["messages"][1]["content"])
        for row in sample().rows
        if row["split"] == split
    ]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def shingles(text: str) -> set[str]:
    found = words(text)
    return {
        " ".join(found[at : at + SHINGLE_WORDS]) for at in range(len(found) - SHINGLE_WORDS + 1)
    }


def min_hash(text: str) -> MinHash:
    made = MinHash(num_perm=PERMUTATIONS, seed=1)
    for shingle in sorted(shingles(text)):
        made.update(shingle.encode())
    return made


def topic(answer: str) -> str:
    return answer.split("\n")[0].removeprefix("topic: ")


def trained_words(of_topic: str) -> set[str]:
    """Every word that any training email of this topic uses."""
    return {
        word
        for email, answer in emails("train")
        if topic(answer) == of_topic
        for word in words(email)
    }


def trained_cues(of_topic: str) -> set[str]:
    """Words that are typical of the topic in training.

    They occur in at least four of its emails, and at least 75% of their emails are on this topic.
    """
    here: Counter[str] = Counter()
    anywhere: Counter[str] = Counter()
    for email, answer in emails("train"):
        anywhere.update(set(words(email)))
        if topic(answer) == of_topic:
            here.update(set(words(email)))
    return {
        word
        for word, count in here.items()
        if count >= 4 and count / anywhere[word] >= 0.75 and word not in COMMON
    }


def test_the_splits_have_240_40_and_60_rows() -> None:
    assert Counter(row["split"] for row in sample().rows) == SIZES


def test_every_answer_has_the_three_lines() -> None:
    allowed = {
        f"topic: {name}\ndesk: {DESKS[name]}\ndue: {due}" for name, due in product(DESKS, DUES)
    }
    assert {row["messages"][1]["content"] for row in sample().rows} == allowed


@pytest.mark.parametrize("split", SIZES)
def test_the_answers_are_balanced_in_every_split(split: str) -> None:
    counted = Counter(answer for _, answer in emails(split))
    assert len(counted) == 8
    assert max(counted.values()) - min(counted.values()) <= 1


def test_the_emails_are_short_and_without_extra_spaces() -> None:
    for row in sample().rows:
        email = row["messages"][0]["content"]
        assert 12 <= len(email.split()) <= 45, email
        assert email == " ".join(email.split())


def test_no_email_occurs_twice() -> None:
    seen = Counter(" ".join(words(row["messages"][0]["content"])) for row in sample().rows)
    assert [email for email, count in seen.items() if count > 1] == []


@pytest.mark.parametrize("split", ["validation", "test"])
def test_no_held_out_email_is_close_to_a_training_email(split: str) -> None:
    trained = [(email, min_hash(email)) for email, _ in emails("train")]
    for email, _ in emails(split):
        mine = min_hash(email)
        closest = max(trained, key=lambda pair: mine.jaccard(pair[1]))
        assert mine.jaccard(closest[1]) < MAX_SIMILARITY, (email, closest[0])
        exact = max(
            len(shingles(email) & shingles(other)) / len(shingles(email) | shingles(other))
            for other, _ in trained
        )
        assert exact < MAX_SIMILARITY


def test_a_reworded_copy_is_detected_as_close() -> None:
    email = emails("train")[0][0]
    index = MinHashLSH(threshold=MAX_SIMILARITY, num_perm=PERMUTATIONS)
    index.insert("original", min_hash(email))
    assert index.query(min_hash("Hello, " + email + " Thanks")) == ["original"]


def test_30_percent_of_the_test_emails_have_words_new_to_their_topic() -> None:
    answers = dict(emails("test"))
    flagged = new_wording()
    assert set(flagged) <= set(answers)
    assert len(flagged) >= 0.3 * len(answers)
    for email, cues in flagged.items():
        named = topic(answers[email])
        assert cues, email
        assert set(cues) <= set(words(email)), email
        assert set(cues) & trained_words(named) == set(), email


def test_those_emails_have_no_cue_of_their_topic() -> None:
    answers = dict(emails("test"))
    for email in new_wording():
        assert set(words(email)) & trained_cues(topic(answers[email])) == set(), email


def test_the_training_emails_have_cues_for_every_topic() -> None:
    for name in DESKS:
        assert len(trained_cues(name)) >= 3, name


def test_the_pairs_and_shots_are_training_emails() -> None:
    trained = dict(emails("train"))
    found = sample()
    for shown in [*found.pairs, *found.best_prompt["shots"]]:
        assert trained[shown["prompt"]] == shown["answer"]
    assert {topic(shown["answer"]) for shown in found.best_prompt["shots"]} == set(DESKS)


def test_the_measure_passes_only_the_expected_answer() -> None:
    measure = get_measure(sample().measure, sample().measure_settings)
    wanted = "topic: hire\ndesk: counter\ndue: today"
    other = "topic: hire\ndesk: office\ndue: today"
    assert measure.check(wanted, wanted).passed
    assert not measure.check(other, wanted).passed
