"""What each check detects, that its fix resolves it, and that the fix can be undone."""

import pytest

from finetune_app.checks import row_check_cache, row_scan
from finetune_app.checks import services as checks
from finetune_app.checks.models import RowCheck, Severity
from finetune_app.datasets.models import Dataset, Label, Status
from tests.conftest import person
from tests.example_rows import conversation, pair

LONG = "Could you please tell me when the repair of my bicycle will be finished this week"
ANSWER = "topic: other\ndue: today"
FRENCH = "Pouvez-vous me dire quand la réparation de mon vélo sera terminée cette semaine"


STATE = ("messages", "rejected", "status", "split")


def rows(count: int = 120) -> list[dict]:
    return [{"messages": conversation(*pair(n))} for n in range(count)]


def with_row(prompt: str, answer: str, times: int = 1) -> list[dict]:
    return [*rows(), *({"messages": conversation(f"{prompt}", answer)} for _ in range(times))]


def found(dataset: Dataset) -> dict[str, str]:
    return dict(dataset.findings.values_list("check_name", "severity"))


def mend(client, url, dataset: Dataset, check: str) -> None:
    """Apply the fix, undo it, and apply it again."""
    before = list(dataset.examples.order_by("pk").values_list(*STATE))
    client.post(url("checks:fix", check_name=check))
    assert check not in found(dataset)
    client.post(url("undo", edit_id=dataset.edits.latest("pk").pk))
    after = list(dataset.examples.order_by("pk").values_list(*STATE))
    assert after == before
    assert check in found(dataset)
    client.post(url("checks:fix", check_name=check))
    assert check not in found(dataset)


@pytest.mark.parametrize(
    ("prompt", "what"),
    [
        ("Write to anna.berg@posteo.de about it", "email"),
        ("Call me on +49 30 901820 after five", "phone"),
        ("My phone number is (415) 555-2671", "phone"),
        ("Take it from DE89 3704 0044 0532 0130 00", "iban"),
        ("My card is 4111 1111 1111 1111", "card"),
        ("It came from 84.17.52.3 at night", "ip"),
    ],
)
def test_personal_data_is_marked_and_replaced(as_owner, url, add_examples, prompt, what):
    dataset = add_examples(rows=with_row(prompt, ANSWER))
    finding = dataset.findings.get(check_name="personal")
    assert finding.severity == Severity.WARNING
    (places,) = finding.spans.values()
    message, start, end, kind = places[0]
    assert (message, kind) == (0, what)
    mend(as_owner, url, dataset, "personal")
    text = dataset.examples.latest("number").prompt
    assert text == prompt[:start] + f"[{what}]" + prompt[end:]


@pytest.mark.parametrize(
    "innocent",
    [
        "Order 20230415123456789 has not come",
        "See example.com or mail you@example.com",
        "The server is 192.168.0.12, version 10.2.3.4",
        "scp notes.txt sam@host.com:/tmp",
        "Between 2019-2021 it cost 1.299,00",
        "git clone git@github.com:a/b.git",
    ],
)
def test_text_that_only_looks_personal_is_ignored(add_examples, innocent):
    assert "personal" not in found(add_examples(rows=with_row(innocent, ANSWER)))


@pytest.mark.parametrize(
    "secret",
    [
        "password: hunter2!x",
        "the key is sk-abcdEFGH1234abcdEFGH1234",
        "AKIAIOSFODNN7EXAMPLE",
        "postgres://bob:s3cr3t9@db.shop.io/main",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_secrets_block_until_they_are_replaced(as_owner, url, add_examples, secret):
    dataset = add_examples(rows=with_row(f"It fails with {secret}", ANSWER))
    assert found(dataset)["secrets"] == Severity.ERROR
    assert as_owner.post(url("versions:freeze")).status_code == 409
    mend(as_owner, url, dataset, "secrets")
    assert as_owner.post(url("versions:freeze")).status_code == 302


@pytest.mark.parametrize(
    "innocent", ["pass your_password here", "password=$PASSWORD", "the secret is out"]
)
def test_placeholder_of_a_secret_is_ignored(add_examples, innocent):
    assert "secrets" not in found(add_examples(rows=with_row(innocent, ANSWER)))


def test_broken_characters_are_repaired(as_owner, url, add_examples):
    dataset = add_examples(rows=with_row("Der ReiÃŸverschluss am KÃ¶nigsplatz", ANSWER))
    assert found(dataset)["broken"] == Severity.WARNING
    mend(as_owner, url, dataset, "broken")
    assert dataset.examples.latest("number").prompt == "Der Reißverschluss am Königsplatz"


def test_a_few_rows_in_another_language_are_ignored(add_examples):
    few = with_row(f"{FRENCH}, numéro 3", ANSWER)
    assert "languages" not in found(add_examples(rows=few))


def test_many_rows_in_another_language_are_found(as_owner, url, add_examples):
    more = [{"messages": conversation(f"{FRENCH}, {n} {n * 77}", ANSWER)} for n in range(12)]
    dataset = add_examples(rows=[*rows(), *more])
    finding = dataset.findings.get(check_name="languages")
    assert finding.message == "12 examples look French"
    mend(as_owner, url, dataset, "languages")


def test_near_duplicates_are_kept_once(as_owner, url, add_examples):
    prompt = f"{LONG}, because I need it for the long way to my work"
    twins = [{"messages": conversation(prompt + end, ANSWER)} for end in (".", " now.", " then.")]
    dataset = add_examples(rows=[*rows(), *twins])
    finding = dataset.findings.get(check_name="near_duplicates")
    assert [len(group) for group in finding.groups] == [3]
    mend(as_owner, url, dataset, "near_duplicates")
    assert dataset.examples.filter(status=Status.SET_ASIDE).count() == 2


def test_same_question_with_two_answers_is_a_contradiction(add_examples):
    dataset = add_examples(
        rows=[
            *with_row(LONG, "topic: repair\ndue: today"),
            {"messages": conversation(LONG, "topic: order\ndue: never")},
        ]
    )
    finding = dataset.findings.get(check_name="contradictions")
    assert (finding.severity, [len(group) for group in finding.groups]) == (Severity.WARNING, [2])


def test_different_instructions_justify_different_answers(add_examples):
    told = [
        {"messages": [{"role": "system", "content": text}, *conversation(LONG, answer)]}
        for text, answer in (("Say the topic", "repair"), ("Say the mood", "calm"))
    ]
    assert "contradictions" not in found(add_examples(rows=[*rows(), *told]))


def test_instructions_of_some_rows_are_given_to_all(as_owner, url, add_examples):
    sort = {"role": "system", "content": "Sort it."}
    told = [{"messages": [sort, *one["messages"]]} for one in rows()]
    told[5]["messages"] = told[5]["messages"][1:]
    dataset = add_examples(rows=told)
    assert found(dataset) == {"instructions": Severity.INFO}
    mend(as_owner, url, dataset, "instructions")
    assert dataset.examples.get(number=6).messages[0] == sort


def test_placeholders_and_copied_questions_are_found(as_owner, url, add_examples):
    dataset = add_examples(
        rows=[*with_row("Where is it?", "N/A"), {"messages": conversation(LONG, LONG)}]
    )
    assert {"blank_answer", "copied_answer"} <= set(found(dataset))
    mend(as_owner, url, dataset, "blank_answer")
    mend(as_owner, url, dataset, "copied_answer")


def test_none_is_an_answer_if_it_is_a_label(add_examples):
    labelled = rows()
    for number, row in enumerate(labelled):
        row["messages"][-1]["content"] = ["none", "urgent", "later"][number % 3]
    assert "blank_answer" not in found(add_examples(rows=labelled))


def test_many_refusals_are_found(add_examples):
    refusing = rows()
    for row in refusing[:30]:
        row["messages"][-1]["content"] = "I'm sorry, but I can't help with that."
    assert found(add_examples(rows=refusing))["refusals"] == Severity.WARNING


def test_rare_label_is_named(add_examples):
    labelled = rows()
    for number, row in enumerate(labelled):
        label = "refund" if number == 7 else ["repair", "order"][number % 2]
        row["messages"][-1]["content"] = label
    dataset = add_examples(rows=labelled)
    finding = dataset.findings.get(check_name="imbalance")
    assert finding.message == "“refund” has only 1 example"


def test_disagreement_of_two_people_is_found(team, owner, add_examples):
    dataset = add_examples(120)
    other = person("kim@kettle.example", team)
    for place, example in enumerate(dataset.examples.all()[:10]):
        Label.objects.create(example=example, by=owner, answer="repair")
        Label.objects.create(example=example, by=other, answer="repair" if place < 6 else "order")
    checks.run_checks(dataset)
    finding = dataset.findings.get(check_name="disagreement")
    assert finding.message == "Two people disagree on 4 of 10 examples"


def test_edit_only_scans_the_changed_row(as_owner, url, add_examples, monkeypatch):
    dataset = add_examples(120)
    assert RowCheck.objects.filter(example__dataset=dataset).count() == 120
    looked = []

    def watched(messages, rejected):
        looked.append(messages)
        return row_scan.scan(messages, rejected)

    monkeypatch.setattr(row_check_cache, "scan", watched)
    as_owner.post(url("change", number=7), {"what": "draft"})
    as_owner.post(url("change", number=7), {"what": "approve"})
    assert looked == []
    row = dataset.examples.get(number=7)
    as_owner.post(
        url("example", number=7),
        {
            "message-0": "Call +49 30 901820",
            "message-1": row.answer,
            "changed_at": row.changed_at.isoformat(),
        },
    )
    assert len(looked) == 1
    assert "personal" in found(dataset)


def with_pair(answer: str, rejected: str, times: int = 1) -> list[dict]:
    row = {"messages": conversation("May I have a discount for two?", answer)}
    return [*rows(), *(row | {"rejected": rejected} for _ in range(times))]


@pytest.mark.parametrize(
    ("check", "rejected"),
    [
        ("personal", "Write to anna.berg@posteo.de about it"),
        ("secrets", "Use the password: hunter2Kettle!9 for it"),
        ("broken", "Ask in the KÃ¶nig shop"),
    ],
)
def test_the_worse_answer_is_read_too(as_owner, url, add_examples, check, rejected):
    dataset = add_examples(rows=with_pair(ANSWER, rejected))
    row = dataset.examples.get(number=121)
    ((message, *_place),) = dataset.findings.get(check_name=check).spans[str(row.pk)]
    assert message == 2  # after the prompt and the answer
    page = as_owner.get(url("checks:health")).content.decode()
    assert rejected.split()[0] in page
    mend(as_owner, url, dataset, check)
    row.refresh_from_db()
    assert row.rejected not in ("", rejected)
    assert row.answer == ANSWER


def test_what_makes_an_answer_bad_may_be_in_the_worse_one(add_examples):
    dataset = add_examples(rows=with_pair(ANSWER, "N/A"))
    assert "blank_answer" not in found(dataset)


def test_another_worse_answer_makes_another_example(add_examples):
    first, second = with_pair(ANSWER, "No."), with_pair(ANSWER, "Two of what, you fool?")
    assert found(add_examples(rows=[*first, second[-1]])) == {}
    dataset = add_examples(rows=[first[-1]])
    assert set(found(dataset)) == {"duplicates"}


def test_a_worse_answer_that_became_the_answer_is_removed(as_owner, url, add_examples):
    dataset = add_examples(rows=with_pair(ANSWER, "No."))
    dataset.examples.filter(number=121).update(rejected=ANSWER)
    checks.run_checks(dataset)
    mend(as_owner, url, dataset, "same_answers")
    assert dataset.examples.get(number=121).rejected == ""
