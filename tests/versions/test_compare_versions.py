"""Versions: listed, named and compared, with the trainings that used them."""

import pytest

from finetune_app.datasets.services import add_rows, change_many
from finetune_app.versions import reader
from finetune_app.versions.models import Version
from finetune_app.versions.services import freeze
from finetune_app.versions.views.versions import aligned
from tests.example_rows import conversation
from tests.factories import build_world
from tests.page_text import compact


@pytest.fixture
def two(add_examples, dataset, owner) -> tuple[Version, Version]:
    """In the second one No. 3 is removed, 5 changed, 7 moved, 9 both, 61 added."""
    add_examples(60)
    first, _new = freeze(dataset=dataset, by=owner)
    row = {one.number: one for one in dataset.examples.all()}
    other_side = {"train": "validation", "validation": "train", "test": "train"}
    corrected = [row[5].messages[0], {"role": "assistant", "content": "topic: pump\ndue: never"}]
    changed = [*row[9].messages[:1], {"role": "assistant", "content": "topic: horn"}]
    wanted = {
        row[3].pk: {"status": "set_aside"},
        row[5].pk: {"messages": corrected},
        row[7].pk: {"split": other_side[row[7].split]},
        row[9].pk: {"messages": changed, "split": "test"},
    }
    dataset.examples.filter(number=9).update(split="train")
    first.delete()
    first, _new = freeze(dataset=dataset, by=owner)
    change_many(
        dataset=dataset,
        by=owner,
        what="x",
        examples=[row[n] for n in (3, 5, 7, 9)],
        fields=lambda e: wanted[e.pk],
    )
    add_rows(dataset=dataset, by=owner, rows=[{"messages": conversation("Brand new?", "Yes")}])
    dataset.findings.all().delete()
    second, _new = freeze(dataset=dataset, by=owner)
    return first, second


def test_differences_are_found(two):
    found = reader.compare(*two, kind="", after=0, limit=50)
    assert found.counts == {"added": 1, "gone": 1, "changed": 2, "moved": 2}
    assert [pair.number for pair in found.differences] == [3, 5, 7, 9, 61]
    assert found.moves["train", "test"] == 1
    assert found.differences[3].kinds == ("changed", "moved")
    page = reader.compare(*two, kind="changed", after=5, limit=1)
    assert ([pair.number for pair in page.differences], page.more) == ([9], False)
    assert reader.compare(*two, kind="", after=0, limit=2).more
    assert not reader.compare(two[0], two[0], kind="", after=0, limit=9).counts


def test_a_new_worse_answer_is_a_change(dataset, owner, as_viewer, url, add_examples):
    add_examples(60)
    dataset.examples.filter(number=2).update(rejected="Ask the shop")
    first, _new = freeze(dataset=dataset, by=owner)
    dataset.examples.filter(number=2).update(rejected="Ask the owner")
    dataset.examples.filter(number=4).update(rejected="No idea")
    second, _new = freeze(dataset=dataset, by=owner)
    found = reader.compare(first, second, kind="", after=0, limit=9)
    assert [(one.number, one.kinds) for one in found.differences] == [
        (2, ("changed",)),
        (4, ("changed",)),
    ]
    page = compact(as_viewer.get(url("versions:compare", number=2, other=1)))
    assert "Worse answer" in page
    assert "<del>shop</del>" in page
    assert "<ins>owner</ins>" in page
    assert "<ins>No idea</ins>" in page


def test_page_shows_a_word_diff(as_viewer, url, two):
    address = url("versions:compare", number=two[1].number, other=two[0].number)
    page = compact(as_viewer.get(address))
    assert "<ins>pump</ins>" in page
    assert "1 example moved into the test" in page
    assert "removed, was for" in page
    assert "Changed<span>2</span>" in page
    only = as_viewer.get(address + "?kind=added").content.decode()
    assert "No. 61" in only
    assert "No. 5<" not in only
    same = url("versions:compare", number=two[0].number, other=two[0].number)
    assert "exactly the same examples" in as_viewer.get(same).content.decode()
    assert as_viewer.get(url("versions:compare", number=99, other=1)).status_code == 404
    for nonsense in ("?kind=x", "?after=x", "?after=-1", "?kind=added&after=99999999"):
        assert as_viewer.get(address + nonsense).status_code == 200


def test_added_and_removed_turns_have_no_counterpart():
    def chat(*turns: tuple[str, str]) -> list[dict[str, str]]:
        return [{"role": role, "content": text} for role, text in turns]

    old = chat(("user", "Hello"), ("assistant", "Hi"), ("user", "When?"), ("assistant", "Nine"))
    new = chat(
        ("system", "Be brief"),
        ("user", "Hello"),
        ("assistant", "Hi"),
        ("user", "When?"),
        ("assistant", "Ten"),
        ("user", "Sure?"),
        ("assistant", "Yes"),
    )
    found = [
        (one and one["content"], other and other["content"]) for one, other in aligned(old, new)
    ]
    assert found == [
        (None, "Be brief"),
        ("Hello", "Hello"),
        ("Hi", "Hi"),
        ("When?", "When?"),
        ("Nine", "Ten"),
        (None, "Sure?"),
        (None, "Yes"),
    ]
    back = [
        (one and one["content"], other and other["content"]) for one, other in aligned(new, old)
    ]
    assert [(b, a) for a, b in back] == found


def test_all_versions_are_listed_and_two_can_be_compared(as_viewer, url, two):
    page = as_viewer.get(url("versions:list")).content.decode()
    for version in two:
        assert url("versions:detail", number=version.number) in page
    reply = as_viewer.get(url("versions:list"), {"number": two[1].number, "other": two[0].number})
    assert reply["Location"] == url("versions:compare", number=two[1].number, other=two[0].number)


def test_renaming_keeps_the_fingerprint(as_owner, as_viewer, url, two):
    number, sha = two[1].number, two[1].sha256
    address = url("versions:rename", number=number)
    reply = as_owner.post(address, {"name": "After the review", "note": "Spelling."}, follow=True)
    assert "After the review" in reply.content.decode()
    two[1].refresh_from_db()
    assert (two[1].name, two[1].note, two[1].sha256) == ("After the review", "Spelling.", sha)
    assert as_owner.post(address, {"name": "x" * 81}).status_code == 422
    assert as_owner.post(address, {"note": "x" * 2001}).status_code == 422
    assert as_viewer.post(address, {"name": "Mine"}).status_code == 403
    assert as_owner.get(address).status_code == 405


def test_version_links_to_its_trainings(as_owner, team, owner):
    world = build_world(team, owner)
    goal = world.goal.pk
    training = f"/goals/{goal}/training/{world.training.number}/"
    evaluation = f"/goals/{goal}/evaluation/{world.evaluation.pk}/"
    for address in (f"/goals/{goal}/dataset/versions/", f"/goals/{goal}/dataset/versions/1/"):
        page = as_owner.get(address).content.decode()
        assert training in page
        assert evaluation in page
    for address in (training, evaluation):
        page = as_owner.get(address).content.decode()
        assert f"/goals/{goal}/dataset/versions/1/" in page, address


def test_other_team_gets_404(as_stranger, url, two):
    for address in (
        url("versions:list"),
        url("versions:compare", number=1, other=1),
        url("versions:detail", number=1),
    ):
        assert as_stranger.get(address).status_code == 404


def test_list_without_versions(as_viewer, url, add_examples):
    add_examples(12)
    assert "Nothing is frozen yet." in as_viewer.get(url("versions:list")).content.decode()


def test_an_answer_that_is_not_learned_any_more_is_named(
    as_viewer, url, add_examples, dataset, owner
):
    add_examples(60)
    said = [*conversation("Hello", "Hi"), *conversation("Opening hours?", "Nine to six")]
    add_rows(dataset=dataset, by=owner, rows=[{"messages": said}])
    dataset.findings.all().delete()
    older, _new = freeze(dataset=dataset, by=owner)
    unlearned = [said[0], said[1] | {"weight": 0}, *said[2:]]
    change_many(
        dataset=dataset,
        by=owner,
        what="x",
        examples=list(dataset.examples.filter(number=61)),
        fields=lambda _e: {"messages": unlearned},
    )
    dataset.findings.all().delete()
    newer, _new = freeze(dataset=dataset, by=owner)
    page = compact(as_viewer.get(url("versions:compare", number=newer.number, other=older.number)))
    assert "Answer, not learned any more" in page
