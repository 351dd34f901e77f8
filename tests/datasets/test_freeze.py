"""Freezing: only what is approved and sound, for ever the same."""

import hashlib
import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from finetune_app.core.files import local_path
from finetune_app.datasets.models import Status
from finetune_app.versions.models import Version
from finetune_app.versions.services import freeze, weight
from tests.datasets.conftest import conversation, pair
from tests.page_text import compact
from tests.starter import FOLDER, needs_starter
from worker.template import load_tokenizer


def lines(version: Version) -> list[dict]:
    return [json.loads(line) for line in local_path(version.stored_name).read_text().splitlines()]


def test_a_version_holds_the_approved_rows(as_owner, url, bring):
    dataset = bring(60)
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


def test_twice_the_rows_ask_the_database_no_more(dataset, owner, bring):
    """Asked once a row, a version of a million rows took minutes."""
    asked = []
    for count in (40, 80):
        bring(count)
        with CaptureQueriesContext(connection) as queries:
            freeze(dataset=dataset, by=owner)
        asked.append(len(queries))
        dataset.examples.all().delete()
    assert asked[0] == asked[1]


def test_the_same_content_is_the_same_version(as_owner, url, bring):
    bring(60)
    as_owner.post(url("versions:freeze"))
    reply = as_owner.post(url("versions:freeze"), follow=True)
    assert "Nothing changed since version 1" in reply.content.decode()
    assert Version.objects.count() == 1


def test_the_next_step_is_a_model_until_something_changes(as_owner, url, bring):
    bring(60)
    as_owner.post(url("versions:freeze"))
    page = as_owner.get(url("page")).content.decode()
    assert "Version 1 holds all of this" in page
    assert "Choose a base model" in page
    assert "Freeze version" not in page
    as_owner.post(url("change", number=7), {"what": "set_aside"})
    assert "Freeze version 2" in as_owner.get(url("page")).content.decode()


def test_a_later_edit_leaves_the_version_as_it_was(as_owner, url, bring):
    bring(60)
    as_owner.post(url("versions:freeze"))
    first = Version.objects.get()
    before = local_path(first.stored_name).read_bytes()
    as_owner.post(url("change", number=7), {"what": "set_aside"})
    as_owner.post(url("versions:freeze"))
    assert local_path(first.stored_name).read_bytes() == before
    second = Version.objects.get(number=2)
    assert second.sha256 != first.sha256


def test_other_writing_counts_for_the_tokens_it_may_take(as_owner, url, bring):
    """The longest row decides how much a training and an answer have room for."""
    _prompt, answer = pair(0)
    bring(
        rows=[
            {"messages": conversation("修理は終わりましたか" * 40, answer)},
            *({"messages": conversation(*pair(n))} for n in range(60)),
        ]
    )
    as_owner.post(url("versions:freeze"))
    version = Version.objects.get()
    assert version.longest == 2 * 400 * 3 + weight(answer)
    assert version.longest_answer < 100


def test_what_must_be_mended_blocks_and_says_so(as_owner, url, bring):
    rows = [{"messages": conversation(*pair(n))} for n in range(110)]
    bring(rows=[*rows, rows[0]])
    page = compact(as_owner.get(url("page")))
    assert "First fix what is marked “must be fixed” above." in page
    assert "disabled>Freeze version 1" in page
    reply = as_owner.post(url("versions:freeze"))
    assert reply.status_code == 409
    assert not Version.objects.exists()


def test_a_finding_that_is_new_since_the_last_look_blocks_too(as_owner, url, bring):
    dataset = bring(60)
    dataset.examples.filter(number=7).update(answer="", messages=[])
    assert as_owner.post(url("versions:freeze")).status_code == 409
    assert dataset.findings.filter(check_name="no_answer").exists()


def test_the_version_page_tells_what_is_in_it(as_owner, as_viewer, url, bring):
    bring(60)
    as_owner.post(url("versions:freeze"))
    version = Version.objects.get()
    page = as_viewer.get(url("versions:detail", number=1)).content.decode()
    assert version.sha256 in page
    assert "Trainings that learned from it" in page


def test_the_file_goes_with_the_goal(
    as_owner, goal, url, bring, django_capture_on_commit_callbacks
):
    bring(60)
    as_owner.post(url("versions:freeze"))
    path = local_path(Version.objects.get().stored_name)
    assert path.exists()
    with django_capture_on_commit_callbacks(execute=True):
        goal.delete()
    assert not path.exists()


def test_only_editors_freeze(as_owner, as_viewer, as_stranger, url, bring):
    bring(60)
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
def test_no_text_has_more_tokens_than_are_reckoned_with(text):
    """Settings of a training are chosen from this: too few, and it would end at its first row."""
    found = len(load_tokenizer(FOLDER)(text, add_special_tokens=False).input_ids)
    assert found <= weight(text) // 2 + 1
