"""Asking the practice prompts on the workbench, and judging the answers."""

from finetune_app.candidates import validation_prompts
from finetune_app.candidates.models import ValidationAnswer, WorkbenchDraft
from finetune_app.core import engine_client
from finetune_app.datasets.models import Example, Split
from finetune_app.goals import services as goals
from tests.candidates.workbench_helpers import (
    HTMX,
    answer_correctly,
    ask_all_prompts,
    expected_answers,
    text,
)


def test_prompts_come_from_the_validation_split_only(ready_goal):
    asked = validation_prompts.prompts_of_goal(ready_goal)
    assert 0 < len(asked) <= validation_prompts.MAX_PROMPTS
    found = Example.objects.filter(pk__in=[one.example_id for one in asked])
    assert {one.split for one in found} == {Split.VALIDATION}
    assert validation_prompts.prompts_of_goal(ready_goal) == asked


def test_each_prompt_is_asked_once_and_correct_answers_are_counted(
    as_editor, ready_goal, at, fake_engine
):
    fake_engine.reply_to = answer_correctly(ready_goal)
    total = len(validation_prompts.prompts_of_goal(ready_goal))
    page = ask_all_prompts(as_editor, at)
    assert f"{total} of {total} right" in page
    assert "Not asked yet" not in page
    assert sum(len(one["requests"]) for one in fake_engine.asked) == total
    assert 'hx-trigger="load"' not in page
    request = fake_engine.asked[0]["requests"][0]["messages"]
    assert request[0] == {"role": "system", "content": "Sort it."}
    ask_all_prompts(as_editor, at)
    assert sum(len(one["requests"]) for one in fake_engine.asked) == total  # nothing is asked twice


def test_the_page_requests_the_next_prompts(as_editor, ready_goal, at, fake_engine):
    page = text(as_editor.post(at("ask_prompts"), {"instructions": "Sort it."}, headers=HTMX))
    assert len(validation_prompts.prompts_of_goal(ready_goal)) > 4
    assert "so far" in page
    assert 'hx-trigger="load"' in page


def test_asking_stops_when_the_draft_has_changed(as_editor, ready_goal, at, fake_engine):
    first = as_editor.post(at("ask_prompts"), {"instructions": "Sort it."}, headers=HTMX)
    form = {"instructions": "Other words.", "fingerprint": first.context["fingerprint"]}
    page = text(as_editor.post(at("ask_prompts"), form, headers=HTMX))
    assert "Not tried yet with these instructions" in page
    assert len(fake_engine.asked) == 1


def test_without_javascript_a_post_asks_some_prompts_and_redirects(
    as_editor, ready_goal, at, fake_engine
):
    assert as_editor.post(at("ask_prompts"), {"instructions": "Sort it."}).status_code == 302
    assert ValidationAnswer.objects.count() == 4


def test_the_test_split_is_never_asked(as_editor, ready_goal, at, fake_engine):
    ask_all_prompts(as_editor, at)
    sealed = set(Example.objects.filter(split=Split.TEST).values_list("prompt", flat=True))
    asked = {
        request["messages"][-1]["content"]
        for one in fake_engine.asked
        for request in one["requests"]
    }
    assert asked
    assert not asked & sealed


def test_an_error_is_shown_and_earlier_answers_are_kept(as_editor, ready_goal, at, fake_engine):
    as_editor.post(at("ask_prompts"), {"instructions": "Sort it."}, headers=HTMX)
    fake_engine.fail = "The model cannot be reached just now."
    page = text(as_editor.post(at("ask_prompts"), {"instructions": "Sort it."}, headers=HTMX))
    assert "The model cannot be reached just now." in page
    assert 'hx-trigger="load"' not in page
    assert ValidationAnswer.objects.count() == 4


def test_sampling_settings_are_sent_to_the_engine(as_editor, ready_goal, at, fake_engine):
    form = {"instructions": "x", "temperature": "0.5", "top_p": "0.9"}
    as_editor.post(at("ask_prompts"), form, headers=HTMX)
    assert fake_engine.asked[0]["requests"][0]["temperature"] == 0.5


def test_stored_answers_are_judged_again_with_a_new_measure(as_editor, ready_goal, at, fake_engine):
    known = expected_answers(ready_goal)
    fake_engine.reply_to = lambda messages: known[messages[-1]["content"]].upper()
    page = ask_all_prompts(as_editor, at)
    assert f"0 of {len(known)} right" in page
    goals.choose_measure(goal=ready_goal, kind="exact", settings={"ignore_case": True})
    assert f"{len(known)} of {len(known)} right" in text(as_editor.get(at()))


def test_answers_for_a_human_judge_have_no_verdict(as_editor, ready_goal, at, fake_engine):
    goals.choose_measure(goal=ready_goal, kind="choice", settings={})
    page = ask_all_prompts(as_editor, at)
    assert "answered" in page
    assert "Only a person can judge these" in page


def test_meaning_is_judged_by_the_engine_and_later_where_it_cannot_be_asked(
    as_editor, ready_goal, at, fake_engine, monkeypatch
):
    goals.choose_measure(goal=ready_goal, kind="meaning", settings={})

    async def unavailable(texts, *, whole, caller):
        raise engine_client.EngineUnavailable("The model cannot be reached just now.")

    async def alike(texts, *, whole, caller):
        return [[1.0, 0.0] for _text in texts], 0

    monkeypatch.setattr(engine_client, "embed", unavailable)
    ask_all_prompts(as_editor, at)
    assert not ValidationAnswer.objects.exclude(passed=None).exists()
    monkeypatch.setattr(engine_client, "embed", alike)
    total = len(validation_prompts.prompts_of_goal(ready_goal))
    assert f"{total} of {total} right" in text(as_editor.get(at()))


def test_a_changed_example_is_asked_again(as_editor, ready_goal, at, fake_engine):
    ask_all_prompts(as_editor, at)
    row = Example.objects.get(pk=validation_prompts.prompts_of_goal(ready_goal)[0].example_id)
    row.set_messages([*row.messages[:-1], {"role": "assistant", "content": "something else"}])
    row.save()
    tried = validation_prompts.results_of(
        ready_goal,
        WorkbenchDraft.objects.get().as_candidate(),
        validation_prompts.prompts_of_goal(ready_goal),
    )
    assert [one.prompt.example_id for one in tried if one.answer is None] == [row.pk]


def test_answers_are_deleted_with_their_example(as_editor, ready_goal, at, fake_engine):
    ask_all_prompts(as_editor, at)
    gone = validation_prompts.prompts_of_goal(ready_goal)[0].example_id
    Example.objects.filter(pk=gone).delete()
    ask_all_prompts(as_editor, at, instructions="Other words.")
    assert not ValidationAnswer.objects.filter(example_id=gone).exists()
    assert ValidationAnswer.objects.exists()


def test_a_remote_model_gets_the_same_prompt(as_editor, ready_goal, at, platform, team, owner):
    known = expected_answers(ready_goal)
    platform.reply_to = lambda messages: known[messages[-1]["content"]]
    endpoint = platform.endpoint(team, owner)
    page = ask_all_prompts(as_editor, at, model=f"endpoint:{endpoint.pk}")
    assert f"{len(known)} of {len(known)} right" in page
    body = platform.requests[0]["body"]
    assert body["messages"][0] == {"role": "system", "content": "Sort it."}
    sent = str(platform.requests)
    learned = Example.objects.filter(split__in=[Split.TRAIN, Split.TEST])
    assert not [one for one in learned if one.prompt in sent]


def test_a_remote_error_is_not_a_wrong_answer(as_editor, ready_goal, at, platform, team, owner):
    endpoint = platform.endpoint(team, owner, "wrong key")
    page = ask_all_prompts(as_editor, at, model=f"endpoint:{endpoint.pk}")
    assert "did not accept the key" in page
    assert not ValidationAnswer.objects.exists()
