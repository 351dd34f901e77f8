"""Trying words at the workbench: practice prompts are asked, and what comes is judged."""

from finetune_app.candidates import validation_prompts
from finetune_app.candidates.models import ValidationAnswer, WorkbenchDraft
from finetune_app.datasets.models import Example, Split
from finetune_app.goals import services as goals
from tests.candidates.workbench_helpers import HTMX, knows_all, text, tries_all, wanted_of


def test_practice_prompts_come_from_practice_alone(bench):
    asked = validation_prompts.prompts_of_goal(bench)
    assert 0 < len(asked) <= validation_prompts.MAX_PROMPTS
    found = Example.objects.filter(pk__in=[one.example_id for one in asked])
    assert {one.split for one in found} == {Split.VALIDATION}
    assert validation_prompts.prompts_of_goal(bench) == asked


def test_trying_asks_each_prompt_once_and_says_how_many_are_right(
    as_editor, bench, at, fake_engine
):
    fake_engine.say = knows_all(bench)
    total = len(validation_prompts.prompts_of_goal(bench))
    page = tries_all(as_editor, at)
    assert f"{total} of {total} right" in page
    assert sum(len(one["requests"]) for one in fake_engine.asked) == total
    assert 'hx-trigger="load"' not in page
    request = fake_engine.asked[0]["requests"][0]["messages"]
    assert request[0] == {"role": "system", "content": "Sort it."}
    tries_all(as_editor, at)
    assert sum(len(one["requests"]) for one in fake_engine.asked) == total  # nothing is asked twice


def test_the_page_asks_for_the_next_ones_by_itself(as_editor, bench, at, fake_engine):
    page = text(as_editor.post(at("ask_prompts"), {"instructions": "Sort it."}, headers=HTMX))
    assert len(validation_prompts.prompts_of_goal(bench)) > 4
    assert "so far" in page
    assert 'hx-trigger="load"' in page


def test_it_stops_asking_when_the_words_changed_meanwhile(as_editor, bench, at, fake_engine):
    first = as_editor.post(at("ask_prompts"), {"instructions": "Sort it."}, headers=HTMX)
    form = {"instructions": "Other words.", "fingerprint": first.context["fingerprint"]}
    page = text(as_editor.post(at("ask_prompts"), form, headers=HTMX))
    assert "Not tried yet with these words" in page
    assert len(fake_engine.asked) == 1


def test_without_script_a_press_asks_some_and_the_page_comes_back(
    as_editor, bench, at, fake_engine
):
    assert as_editor.post(at("ask_prompts"), {"instructions": "Sort it."}).status_code == 302
    assert ValidationAnswer.objects.count() == 4


def test_the_test_split_is_never_asked(as_editor, bench, at, fake_engine):
    tries_all(as_editor, at)
    sealed = set(Example.objects.filter(split=Split.TEST).values_list("prompt", flat=True))
    asked = {
        request["messages"][-1]["content"]
        for one in fake_engine.asked
        for request in one["requests"]
    }
    assert asked
    assert not asked & sealed


def test_trouble_is_said_and_what_came_before_is_kept(as_editor, bench, at, fake_engine):
    as_editor.post(at("ask_prompts"), {"instructions": "Sort it."}, headers=HTMX)
    fake_engine.fail = "The model cannot be reached just now."
    page = text(as_editor.post(at("ask_prompts"), {"instructions": "Sort it."}, headers=HTMX))
    assert "The model cannot be reached just now." in page
    assert 'hx-trigger="load"' not in page
    assert ValidationAnswer.objects.count() == 4


def test_the_sampling_goes_along(as_editor, bench, at, fake_engine):
    form = {"instructions": "x", "temperature": "0.5", "top_p": "0.9"}
    as_editor.post(at("ask_prompts"), form, headers=HTMX)
    assert fake_engine.asked[0]["requests"][0]["temperature"] == 0.5


def test_another_measure_judges_what_was_said_again(as_editor, bench, at, fake_engine):
    known = wanted_of(bench)
    fake_engine.say = lambda messages: known[messages[-1]["content"]].upper()
    page = tries_all(as_editor, at)
    assert f"0 of {len(known)} right" in page
    goals.choose_measure(goal=bench, kind="exact", settings={"ignore_case": True})
    assert f"{len(known)} of {len(known)} right" in text(as_editor.get(at()))


def test_what_only_a_person_can_judge_is_shown_without_a_verdict(as_editor, bench, at, fake_engine):
    goals.choose_measure(goal=bench, kind="choice", settings={})
    page = tries_all(as_editor, at)
    assert "answered" in page
    assert "Only a person can judge these" in page


def test_a_changed_example_is_asked_anew(as_editor, bench, at, fake_engine):
    tries_all(as_editor, at)
    row = Example.objects.get(pk=validation_prompts.prompts_of_goal(bench)[0].example_id)
    row.set_messages([*row.messages[:-1], {"role": "assistant", "content": "something else"}])
    row.save()
    tried = validation_prompts.results_of(
        bench,
        WorkbenchDraft.objects.get().as_candidate(),
        validation_prompts.prompts_of_goal(bench),
    )
    assert [one.prompt.example_id for one in tried if one.answer is None] == [row.pk]


def test_what_was_said_to_a_question_that_is_gone_goes_too(as_editor, bench, at, fake_engine):
    tries_all(as_editor, at)
    gone = validation_prompts.prompts_of_goal(bench)[0].example_id
    Example.objects.filter(pk=gone).delete()
    tries_all(as_editor, at, instructions="Other words.")
    assert not ValidationAnswer.objects.filter(example_id=gone).exists()
    assert ValidationAnswer.objects.exists()


def test_a_model_elsewhere_is_asked_the_same_words(as_editor, bench, at, platform, team, owner):
    known = wanted_of(bench)
    platform.say = lambda messages: known[messages[-1]["content"]]
    endpoint = platform.endpoint(team, owner)
    page = tries_all(as_editor, at, model=f"endpoint:{endpoint.pk}")
    assert f"{len(known)} of {len(known)} right" in page
    body = platform.requests[0]["body"]
    assert body["messages"][0] == {"role": "system", "content": "Sort it."}
    sent = str(platform.requests)
    learned = Example.objects.filter(split__in=[Split.TRAIN, Split.TEST])
    assert not [one for one in learned if one.prompt in sent]


def test_trouble_elsewhere_is_not_a_wrong_answer(as_editor, bench, at, platform, team, owner):
    endpoint = platform.endpoint(team, owner, "wrong key")
    page = tries_all(as_editor, at, model=f"endpoint:{endpoint.pk}")
    assert "did not accept the key" in page
    assert not ValidationAnswer.objects.exists()
