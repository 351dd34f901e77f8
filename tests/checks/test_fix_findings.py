"""What each check finds, and that its fix resolves it."""

import pytest

from finetune_app.checks.fixes import apply_fix
from finetune_app.checks.models import Severity
from finetune_app.datasets.models import Dataset, Example, Split, Status
from finetune_app.datasets.services import batch_edits, save_example
from tests.example_rows import conversation, pair
from tests.page_text import compact


def found(dataset: Dataset) -> dict[str, str]:
    return dict(dataset.findings.values_list("check_name", "severity"))


def rows(count: int, **more: str) -> list[dict]:
    return [{"messages": conversation(*pair(n)), **more} for n in range(count)]


def test_good_examples_have_no_findings(add_examples):
    assert found(add_examples(150)) == {}


@pytest.mark.parametrize(
    ("count", "severity"), [(9, Severity.ERROR), (49, Severity.WARNING), (99, Severity.INFO)]
)
def test_too_few_examples_have_three_severities(add_examples, count, severity):
    assert found(add_examples(count))["too_few"] == severity


def test_all_duplicates_but_one_are_set_aside(as_owner, url, add_examples):
    dataset = add_examples(rows=[*rows(110), *rows(3)])
    assert found(dataset) == {"duplicates": Severity.ERROR}
    reply = as_owner.post(url("checks:fix", check_name="duplicates"), follow=True)
    assert "Done: 3 examples changed." in reply.content.decode()
    assert dataset.examples.filter(status=Status.SET_ASIDE).count() == 3
    assert set(
        dataset.examples.filter(status=Status.SET_ASIDE).values_list("number", flat=True)
    ) == {111, 112, 113}
    assert found(dataset) == {}
    edit = dataset.edits.latest("pk")
    as_owner.post(url("undo", edit_id=edit.pk))
    assert found(dataset) == {"duplicates": Severity.ERROR}


@pytest.mark.parametrize(("check", "many"), [("blank_answer", False), ("duplicates", True)])
def test_a_row_that_was_mended_by_hand_since_the_check_stays(
    owner, add_examples, monkeypatch, check, many
):
    """A large dataset is not checked after each edit, so its findings may be old."""
    blank = [{"messages": conversation(f"Where is parcel {n}?", "N/A")} for n in range(3)]
    dataset = add_examples(rows=[*rows(110), *(rows(3) if check == "duplicates" else blank)])
    monkeypatch.setattr("finetune_app.checks.services.MAX_ROWS_IN_REQUEST", 50)
    mended = dataset.examples.get(number=112)
    messages = conversation("How do I pump up a flat tyre?", "topic: repair")
    save_example(example=mended, by=owner, seen=None, messages=messages)
    finding = dataset.findings.get(check_name=check)
    if many:
        monkeypatch.setattr("finetune_app.datasets.services.batch_edits.MAX_ROWS_IN_REQUEST", 0)
    batch_edits.run_to_end(apply_fix(finding=finding, by=owner))
    aside = dataset.examples.filter(status=Status.SET_ASIDE).order_by("number")
    assert list(aside.values_list("number", flat=True)) == [111, 113]


def test_surrounding_spaces_make_no_difference(add_examples):
    prompt, answer = pair(0)
    twin = {"messages": conversation(f"  {prompt} ", answer)}
    assert found(add_examples(rows=[*rows(110), twin])) == {"duplicates": Severity.ERROR}


def test_rows_that_differ_only_in_case_are_a_warning(as_owner, url, add_examples):
    """Correct case may be what the model should learn."""
    prompt, answer = pair(0)
    twin = {"messages": conversation(prompt.upper(), answer)}
    dataset = add_examples(rows=[*rows(110), twin, twin])
    assert found(dataset) == {"duplicates": Severity.ERROR, "spelled_alike": Severity.WARNING}
    as_owner.post(url("checks:fix", check_name="duplicates"))
    assert found(dataset) == {"spelled_alike": Severity.WARNING}
    as_owner.post(url("checks:fix", check_name="spelled_alike"))
    assert found(dataset) == {}
    assert dataset.examples.get(number=1).status == Status.APPROVED


@pytest.mark.parametrize("change", ["", " Thanks in advance", "!"])
def test_test_prompt_in_the_train_split_is_found_and_moved(as_owner, url, add_examples, change):
    examples = rows(120, split="train")
    for row in examples[:30]:
        row["split"] = "test"
    for row in examples[30:50]:
        row["split"] = "validation"
    prompt, _answer = pair(3)
    leak = {"messages": conversation(prompt + change, "topic: other"), "split": "train"}
    dataset = add_examples(rows=[*examples, leak])
    assert found(dataset)["leakage"] == Severity.ERROR
    as_owner.post(url("checks:fix", check_name="leakage"))
    assert dataset.examples.get(number=4).split == Split.TRAIN
    assert "leakage" not in found(dataset)


def test_a_customer_who_is_learned_and_tested_is_found_and_moved(as_owner, url, add_examples):
    """As where a file brings splits of its own that tear its groups apart."""
    examples = rows(120, split="train")
    for row in examples[:30]:
        row["split"] = "test"
    for row in examples[30:50]:
        row["split"] = "validation"
    for row in [examples[0], examples[1], examples[60]]:
        row["group"] = "Rao"
    examples[2]["group"] = "Berg"  # tested only
    dataset = add_examples(rows=examples)
    assert found(dataset) == {"group_leakage": Severity.ERROR}
    as_owner.post(url("checks:fix", check_name="group_leakage"))
    assert set(dataset.examples.filter(group="Rao").values_list("split", flat=True)) == {"train"}
    assert dataset.examples.get(number=3).split == Split.TEST
    assert found(dataset) == {}


def test_what_is_kept_back_is_whole_groups(as_owner, url, add_examples):
    examples = rows(120, split="train")
    for at, row in enumerate(examples):
        row["group"] = f"customer {at % 12}"
    dataset = add_examples(rows=examples)
    dataset.examples.update(split=Split.TRAIN)
    as_owner.post(url("checks:start"))
    as_owner.post(url("checks:fix", check_name="no_test"))
    tested = dataset.examples.filter(split=Split.TEST)
    assert tested.count() == 30  # three whole customers, at least the 22 that are wanted
    assert tested.values("group").distinct().count() == 3
    assert "group_leakage" not in found(dataset)


def test_validation_prompt_in_the_train_split_is_a_warning(as_owner, url, add_examples):
    examples = rows(120, split="train")
    for row in examples[:30]:
        row["split"] = "test"
    examples[40]["split"] = "validation"
    leak = {"messages": conversation(pair(40)[0], "topic: other"), "split": "train"}
    dataset = add_examples(rows=[*examples, leak])
    assert found(dataset)["practice_leakage"] == Severity.WARNING
    as_owner.post(url("checks:fix", check_name="practice_leakage"))
    assert "practice_leakage" not in found(dataset)
    assert found(dataset)["no_practice"] == Severity.WARNING


def test_shared_text_of_all_prompts_is_ignored(add_examples):
    shared = "You are given a mail to the shop. Say what it is about in one word. The mail: "
    examples = rows(120)
    for row in examples:
        row["messages"][0]["content"] = shared * 3 + row["messages"][0]["content"]
    assert found(add_examples(rows=examples)) == {}


def test_missing_test_and_validation_splits_can_be_fixed(as_owner, url, add_examples):
    dataset = add_examples(rows=rows(120, split="train"))
    dataset.examples.update(split=Split.TRAIN)
    as_owner.post(url("checks:start"))
    assert found(dataset) == {"no_test": Severity.ERROR, "no_practice": Severity.WARNING}
    as_owner.post(url("checks:fix", check_name="no_test"))
    as_owner.post(url("checks:fix", check_name="no_practice"))
    counts = dataset.examples.counts()
    assert (counts["test"], counts["validation"], counts["train"]) == (22, 14, 84)


def test_small_test_split_is_found(add_examples):
    assert found(add_examples(60))["small_test"] == Severity.INFO


def test_missing_answers_and_unknown_roles_are_found(as_owner, url, add_examples):
    examples = rows(150)
    examples[5]["messages"] = examples[5]["messages"][:1]
    examples[6]["messages"][-1]["content"] = " "
    examples[7]["messages"][0]["role"] = "narrator"
    dataset = add_examples(rows=examples)
    assert found(dataset) == {"no_answer": Severity.ERROR, "unknown_role": Severity.ERROR}
    assert "“narrator”" in dataset.findings.get(check_name="unknown_role").message
    as_owner.post(url("checks:fix", check_name="no_answer"))
    as_owner.post(url("checks:fix", check_name="unknown_role"))
    assert found(dataset) == {}


def test_answers_that_fail_the_success_measure_are_a_warning(goal, add_examples):
    goal.measure, goal.measure_settings = "json", {}
    goal.save()
    examples = [{"messages": conversation(pair(n)[0], '{"topic": "bell"}')} for n in range(110)]
    examples[9]["messages"][-1]["content"] = '{"topic": '
    dataset = add_examples(rows=examples)
    assert found(dataset)["measure"] == Severity.WARNING
    finding = dataset.findings.get(check_name="measure")
    assert finding.examples == [Example.objects.get(number=10).pk]
    assert finding.message.startswith("1 answer would fail")


def test_set_aside_and_deleted_rows_are_not_checked(as_owner, url, add_examples):
    dataset = add_examples(rows=[*rows(110), *rows(2)])
    as_owner.post(url("change", number=111), {"what": "set_aside"})
    assert found(dataset) == {"duplicates": Severity.ERROR}
    as_owner.post(url("change", number=112), {"what": "delete"})
    assert found(dataset) == {}


def test_health_is_100_minus_the_stated_points(as_owner, url, add_examples):
    add_examples(rows=[*rows(110), *rows(2)])
    page = compact(as_owner.get(url("page")))
    assert '<p class="score">90' in page
    assert "+10" in page


def test_only_editors_may_fix(as_owner, as_viewer, as_stranger, url, add_examples):
    dataset = add_examples(rows=[*rows(110), *rows(3)])
    address = url("checks:fix", check_name="duplicates")
    assert as_viewer.post(address).status_code == 403
    assert as_stranger.post(address).status_code == 404
    assert as_owner.get(address).status_code == 405
    assert as_owner.post(url("checks:fix", check_name="nonsense")).status_code == 404
    assert not dataset.examples.filter(status=Status.SET_ASIDE).exists()
