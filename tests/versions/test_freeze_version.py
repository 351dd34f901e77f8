"""Freezing: only approved examples without errors, in an immutable file."""

import hashlib
import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from finetune_app.core.files import local_path
from finetune_app.datasets.models import Edit, Status
from finetune_app.datasets.services import change_many
from finetune_app.versions import reader
from finetune_app.versions.models import Version
from finetune_app.versions.services import freeze, weight
from tests.example_rows import conversation, pair
from tests.page_text import compact
from tests.starter import FOLDER, needs_starter
from worker.template import load_tokenizer


def lines(version: Version) -> list[dict]:
    return [json.loads(line) for line in local_path(version.stored_name).read_text().splitlines()]


def test_version_contains_the_approved_rows(as_owner, url, add_examples):
    dataset = add_examples(60)
    dataset.examples.filter(number=3).update(status=Status.DRAFT)
    dataset.examples.filter(number=4).update(status=Status.SET_ASIDE)
    as_owner.post(url("change", number=5), {"what": "delete"})
    as_owner.post(url("versions:freeze"))
    version = Version.objects.get()
    rows = lines(version)
    assert {row["id"] for row in rows} == set(range(1, 61)) - {3, 4, 5}
    assert sum(version.counts.values()) == 57
    digest = hashlib.sha256(local_path(version.stored_name).read_bytes()).hexdigest()
    assert version.sha256 == digest
    assert version.longest == max(sum(weight(m["content"]) for m in r["messages"]) for r in rows)
    assert version.longest_answer == max(weight(r["messages"][-1]["content"]) for r in rows)
    learned = [r["messages"][-1]["content"] for r in rows if r["split"] == "train"]
    assert version.answer_characters == sum(weight(answer) for answer in learned)


def test_pairs_keep_their_worse_answer_and_count(dataset, owner, as_viewer, url, add_examples):
    add_examples(60)
    dataset.examples.filter(number__in=[5, 6]).update(rejected="No idea", split="train")
    dataset.examples.filter(number=7).update(rejected="Ask somebody else", split="test")
    version, _new = freeze(dataset=dataset, by=owner)
    rows = {row["id"]: row for row in lines(version)}
    assert {n: row["rejected"] for n, row in rows.items() if "rejected" in row} == {
        5: "No idea",
        6: "No idea",
        7: "Ask somebody else",
    }
    assert version.pairs == 2  # those that a training may learn from
    assert reader.source_counts(version) == {"emails.csv": 60}
    page = compact(as_viewer.get(url("versions:detail", number=version.number)))
    assert "with a worse answer</dt><dd>2<" in page


def test_rows_that_belong_together_say_so(dataset, owner, add_examples):
    add_examples(60)
    dataset.examples.filter(number__in=[5, 6]).update(group="Rao", split="train")
    version, _new = freeze(dataset=dataset, by=owner)
    assert {row["id"]: row["group"] for row in lines(version) if "group" in row} == {
        5: "Rao",
        6: "Rao",
    }
    assert reader.source_counts(version) == {"emails.csv": 60}


def test_another_worse_answer_is_another_version(dataset, owner, add_examples):
    add_examples(60)
    first, _new = freeze(dataset=dataset, by=owner)
    change_many(
        dataset=dataset,
        by=owner,
        what="x",
        examples=[dataset.examples.get(number=1)],
        fields=lambda example: {"rejected": "No idea"},
    )
    dataset.findings.all().delete()
    second, new = freeze(dataset=dataset, by=owner)
    assert new
    assert first.sha256 != second.sha256


def test_number_of_queries_does_not_grow_with_the_rows(dataset, owner, add_examples):
    """With one query per row, a version of a million rows took minutes."""
    counts = []
    for count in (40, 80):
        add_examples(count)
        with CaptureQueriesContext(connection) as queries:
            freeze(dataset=dataset, by=owner)
        counts.append(len(queries))
        dataset.examples.all().delete()
    assert counts[0] == counts[1]


def test_same_content_returns_the_same_version(as_owner, url, add_examples):
    add_examples(60)
    as_owner.post(url("versions:freeze"))
    reply = as_owner.post(url("versions:freeze"), follow=True)
    assert "Nothing has changed since version 1" in reply.content.decode()
    assert Version.objects.count() == 1


def test_after_an_undo_the_newest_version_is_what_is_there(as_owner, url, add_examples):
    """What comes next reads the newest, so an older one with the same content is not enough."""
    add_examples(60)
    as_owner.post(url("versions:freeze"))
    as_owner.post(url("change", number=7), {"what": "set_aside"})
    as_owner.post(url("versions:freeze"))
    as_owner.post(url("undo", edit_id=Edit.objects.first().pk))
    assert "Freeze version 3" in as_owner.get(url("page")).content.decode()
    reply = as_owner.post(url("versions:freeze"), follow=True)
    assert "Version 3 is frozen" in reply.content.decode()
    first, _second, third = Version.objects.order_by("number")
    assert (third.sha256, third.counts) == (first.sha256, first.counts)
    assert "Freeze version" not in as_owner.get(url("page")).content.decode()


def test_next_step_is_a_base_model_until_something_changes(as_owner, url, add_examples):
    add_examples(60)
    as_owner.post(url("versions:freeze"))
    page = as_owner.get(url("page")).content.decode()
    assert "Version 1 holds all of this" in page
    assert "Choose a base model" in page
    assert "Freeze version" not in page
    as_owner.post(url("change", number=7), {"what": "set_aside"})
    assert "Freeze version 2" in as_owner.get(url("page")).content.decode()


def test_later_edit_does_not_change_the_version(as_owner, url, add_examples):
    add_examples(60)
    as_owner.post(url("versions:freeze"))
    first = Version.objects.get()
    before = local_path(first.stored_name).read_bytes()
    as_owner.post(url("change", number=7), {"what": "set_aside"})
    as_owner.post(url("versions:freeze"))
    assert local_path(first.stored_name).read_bytes() == before
    second = Version.objects.get(number=2)
    assert second.sha256 != first.sha256


def test_other_scripts_count_as_more_tokens(as_owner, url, add_examples):
    """The longest row decides the token limits of training and answers."""
    _prompt, answer = pair(0)
    add_examples(
        rows=[
            {"messages": conversation("修理は終わりましたか" * 40, answer)},
            *({"messages": conversation(*pair(n))} for n in range(60)),
        ]
    )
    as_owner.post(url("versions:freeze"))
    version = Version.objects.get()
    assert version.longest == 2 * 400 * 3 + weight(answer)
    assert version.longest_answer < 100


def test_error_finding_blocks_freezing(as_owner, url, add_examples):
    rows = [{"messages": conversation(*pair(n))} for n in range(110)]
    add_examples(rows=[*rows, rows[0]])
    page = compact(as_owner.get(url("page")))
    assert "First fix what is marked “must be fixed” above." in page
    assert "disabled>Freeze version 1" in page
    reply = as_owner.post(url("versions:freeze"))
    assert reply.status_code == 409
    assert not Version.objects.exists()


def test_new_finding_blocks_freezing(as_owner, url, add_examples):
    dataset = add_examples(60)
    dataset.examples.filter(number=7).update(answer="", messages=[])
    assert as_owner.post(url("versions:freeze")).status_code == 409
    assert dataset.findings.filter(check_name="no_answer").exists()


def test_version_page_shows_its_contents(as_owner, as_viewer, url, add_examples):
    add_examples(60)
    as_owner.post(url("versions:freeze"))
    version = Version.objects.get()
    page = as_viewer.get(url("versions:detail", number=1)).content.decode()
    assert version.sha256 in page
    assert "Trainings that learned from it" in page


def test_file_is_deleted_with_the_goal(
    as_owner, goal, url, add_examples, django_capture_on_commit_callbacks
):
    add_examples(60)
    as_owner.post(url("versions:freeze"))
    path = local_path(Version.objects.get().stored_name)
    assert path.exists()
    with django_capture_on_commit_callbacks(execute=True):
        goal.delete()
    assert not path.exists()


def test_only_editors_may_freeze(as_owner, as_viewer, as_stranger, url, add_examples):
    add_examples(60)
    assert as_viewer.post(url("versions:freeze")).status_code == 403
    assert as_stranger.post(url("versions:freeze")).status_code == 404
    assert as_owner.get(url("versions:freeze")).status_code == 405
    assert not Version.objects.exists()


@needs_starter
@pytest.mark.parametrize(
    "text",
    [
        "Your bike is ready; come by until six.",
        "topic: repair\ndesk: workshop",
        '{"topic": "repair", "due": [1, 2, 3], "paid": true}',
        '{"a":1,"b":{"c":[0,0,1]}}',
        "4471 0049 3090 1820 771",
        "3.14159265358979",
        "0110100110010110",
        "-/+*=!?;:()[]{}<>%$",
        "<a><b>1</b><c/></a>",
        "find . -name '*.py' -exec grep -l \"x=1\" {} +",
        "Grüße aus Köln",
        "修理は終わりましたか",
        "Готов ли мой велосипед?",
        "🚲🔧✅",
    ],
)
def test_no_text_has_more_tokens_than_estimated(text):
    """Training settings follow the estimate: a training with a low one would fail."""
    found = len(load_tokenizer(FOLDER)(text, add_special_tokens=False).input_ids)
    assert found <= weight(text) // 2 + 1
