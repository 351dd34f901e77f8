"""The workbench: words, shots, tries and versions, with script and without."""

import html
from collections.abc import Callable

import pytest
from django.urls import reverse

from finetune_app.candidates import practice, shots
from finetune_app.candidates.models import Candidate, Try, WorkbenchDraft
from finetune_app.core import engine
from finetune_app.datasets.models import Example, Split
from finetune_app.goals import services as goals
from finetune_app.goals.models import Goal
from tests import path

HTMX = {"HX-Request": "true"}


def text(reply) -> str:
    return html.unescape(reply.content.decode())


@pytest.fixture
def bench(goal, owner) -> Goal:
    """A goal with examples, a measure and a model; nothing trained."""
    return path.ready(goal, owner)


@pytest.fixture
def at(goal) -> Callable[..., str]:
    return lambda name="workbench", *ids: reverse(f"candidates:{name}", args=[goal.pk, *ids])


class Voice:
    """An engine that answers `say(messages)` and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.say: Callable[[list[dict]], str] = lambda messages: "Nothing of that."
        self.fail = ""

    async def __call__(self, base_model, lanes, **options):
        self.asked.append({"base_model": base_model, "lanes": lanes, **options})
        if self.fail:
            raise engine.EngineUnavailable(self.fail)
        for lane in lanes:
            yield {"lane": lane["name"], "text": self.say(lane["messages"])}
            yield {"lane": lane["name"], "done": True, "finish_reason": "stop", "seconds": 0.1}


@pytest.fixture
def voice(monkeypatch) -> Voice:
    voice = Voice()
    monkeypatch.setattr(engine, "stream_chat", voice)
    return voice


def wanted_of(goal: Goal) -> dict[str, str]:
    return {one.messages[-1]["content"]: one.wanted for one in practice.prompts(goal)}


def knows_all(goal: Goal) -> Callable[[list[dict]], str]:
    known = wanted_of(goal)
    return lambda messages: known[messages[-1]["content"]]


def tries_all(client, at, **form) -> str:
    """Press Try until everything was asked, as the page does by itself."""
    for _press in range(4):
        page = text(client.post(at("try_some"), {"instructions": "Sort it.", **form}, headers=HTMX))
    return page


# ---- Words ----


def test_it_begins_with_the_goals_own_words(as_editor, bench, at):
    page = text(as_editor.get(at()))
    assert "Sort each email." in page
    assert "Right when the answer is exactly the one you wanted." in page
    assert not WorkbenchDraft.objects.exists()  # to look is not to write


def test_what_is_typed_is_kept(as_editor, bench, at):
    reply = as_editor.post(at("save"), {"instructions": "Only  the\r\ntopic. "}, headers=HTMX)
    assert reply.status_code == 200  # other words: what was tried no longer holds
    assert "Not tried yet with these words" in text(reply)
    seen = reply.context["recipe"]
    again = as_editor.post(at("save"), {"instructions": "Only  the\ntopic. ", "seen": seen},
                           headers=HTMX)  # fmt: skip
    assert (again.status_code, again["HX-Trigger"]) == (204, '{"saved": "Saved"}')
    assert "Only  the\ntopic. " in text(as_editor.get(at()))


def test_everybody_has_a_draft_of_their_own(as_editor, as_owner, bench, at):
    as_editor.post(at("save"), {"instructions": "Mine."})
    as_owner.post(at("save"), {"instructions": "Yours."})
    assert "Mine." in text(as_editor.get(at()))
    assert "Yours." in text(as_owner.get(at()))


def test_a_wrong_number_loses_no_words(as_editor, bench, at):
    form = {"instructions": "New words.", "temperature": "9", "top_p": ""}
    reply = as_editor.post(at("try_some"), form)
    assert reply.status_code == 422
    assert "Your words are saved." in text(reply)
    assert WorkbenchDraft.objects.get().instructions == "New words."
    as_editor.post(at("save"), form | {"temperature": "0.7", "top_p": "0.9"})
    assert WorkbenchDraft.objects.get().sampling == {"temperature": 0.7, "top_p": 0.9}
    as_editor.post(at("save"), form | {"temperature": "0"})
    assert WorkbenchDraft.objects.get().sampling == {}


def test_another_teams_model_cannot_be_chosen(as_editor, bench, at, platform, stranger):
    theirs = platform.endpoint(stranger.teams.get(), stranger)
    as_editor.post(at("save"), {"instructions": "x", "model": f"endpoint:{theirs.pk}"})
    assert WorkbenchDraft.objects.get().endpoint is None


# ---- Trying ----


def test_practice_prompts_come_from_practice_alone(bench):
    asked = practice.prompts(bench)
    assert 0 < len(asked) <= practice.MOST
    found = Example.objects.filter(pk__in=[one.row for one in asked])
    assert {one.split for one in found} == {Split.VALIDATION}
    assert practice.prompts(bench) == asked


def test_trying_asks_each_prompt_once_and_says_how_many_are_right(as_editor, bench, at, voice):
    voice.say = knows_all(bench)
    total = len(practice.prompts(bench))
    page = tries_all(as_editor, at)
    assert f"{total} of {total} right" in page
    assert sum(len(one["lanes"]) for one in voice.asked) == total
    assert "hx-trigger=\"load\"" not in page
    lane = voice.asked[0]["lanes"][0]["messages"]
    assert lane[0] == {"role": "system", "content": "Sort it."}
    tries_all(as_editor, at)
    assert sum(len(one["lanes"]) for one in voice.asked) == total  # nothing is asked twice


def test_the_page_asks_for_the_next_ones_by_itself(as_editor, bench, at, voice):
    page = text(as_editor.post(at("try_some"), {"instructions": "Sort it."}, headers=HTMX))
    assert len(practice.prompts(bench)) > 4
    assert "so far" in page
    assert "hx-trigger=\"load\"" in page


def test_it_stops_asking_when_the_words_changed_meanwhile(as_editor, bench, at, voice):
    first = as_editor.post(at("try_some"), {"instructions": "Sort it."}, headers=HTMX)
    form = {"instructions": "Other words.", "recipe": first.context["recipe"]}
    page = text(as_editor.post(at("try_some"), form, headers=HTMX))
    assert "Not tried yet with these words" in page
    assert len(voice.asked) == 1


def test_without_script_a_press_asks_some_and_the_page_comes_back(as_editor, bench, at, voice):
    assert as_editor.post(at("try_some"), {"instructions": "Sort it."}).status_code == 302
    assert Try.objects.count() == 4


def test_the_test_split_is_never_asked(as_editor, bench, at, voice):
    tries_all(as_editor, at)
    sealed = set(Example.objects.filter(split=Split.TEST).values_list("prompt", flat=True))
    asked = {lane["messages"][-1]["content"] for one in voice.asked for lane in one["lanes"]}
    assert asked
    assert not asked & sealed


def test_trouble_is_said_and_what_came_before_is_kept(as_editor, bench, at, voice):
    as_editor.post(at("try_some"), {"instructions": "Sort it."}, headers=HTMX)
    voice.fail = "The model cannot be reached just now."
    page = text(as_editor.post(at("try_some"), {"instructions": "Sort it."}, headers=HTMX))
    assert "The model cannot be reached just now." in page
    assert "hx-trigger=\"load\"" not in page
    assert Try.objects.count() == 4


def test_the_sampling_goes_along(as_editor, bench, at, voice):
    form = {"instructions": "x", "temperature": "0.5", "top_p": "0.9"}
    as_editor.post(at("try_some"), form, headers=HTMX)
    assert voice.asked[0]["lanes"][0]["temperature"] == 0.5


def test_another_measure_judges_what_was_said_again(as_editor, bench, at, voice):
    known = wanted_of(bench)
    voice.say = lambda messages: known[messages[-1]["content"]].upper()
    page = tries_all(as_editor, at)
    assert f"0 of {len(known)} right" in page
    goals.choose_measure(goal=bench, kind="exact", settings={"ignore_case": True})
    assert f"{len(known)} of {len(known)} right" in text(as_editor.get(at()))


def test_what_only_a_person_can_judge_is_shown_without_a_verdict(as_editor, bench, at, voice):
    goals.choose_measure(goal=bench, kind="choice", settings={})
    page = tries_all(as_editor, at)
    assert "answered" in page
    assert "Only a person can judge these" in page


def test_a_changed_example_is_asked_anew(as_editor, bench, at, voice):
    tries_all(as_editor, at)
    row = Example.objects.get(pk=practice.prompts(bench)[0].row)
    row.set_messages([*row.messages[:-1], {"role": "assistant", "content": "something else"}])
    row.save()
    tried = practice.results(bench, WorkbenchDraft.objects.get().as_candidate(),
                             practice.prompts(bench))  # fmt: skip
    assert [one.practice.row for one in tried if one.answer is None] == [row.pk]


def test_what_was_said_to_a_question_that_is_gone_goes_too(as_editor, bench, at, voice):
    tries_all(as_editor, at)
    gone = practice.prompts(bench)[0].row
    Example.objects.filter(pk=gone).delete()
    tries_all(as_editor, at, instructions="Other words.")
    assert not Try.objects.filter(row=gone).exists()
    assert Try.objects.exists()


# ---- Elsewhere ----


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
    assert not Try.objects.exists()


# ---- Shots ----


def test_shots_come_from_train_alone(as_editor, bench, at):
    sealed = Example.objects.exclude(split=Split.TRAIN).first()
    reply = as_editor.post(at("change_shots"), {"add": sealed.pk}, headers=HTMX)
    assert "not there any more" in text(reply)
    assert WorkbenchDraft.objects.get().shots == []
    found = [int(one.key) for one in shots.search(bench, sealed.prompt[:20], [])]
    assert not Example.objects.filter(pk__in=found).exclude(split=Split.TRAIN)


def test_one_is_added_by_hand_and_taken_out_again(as_editor, bench, at):
    example = shots.search(bench, "", [])[0]
    as_editor.post(at("change_shots"), {"add": example.key, "instructions": "Kept too."})
    draft = WorkbenchDraft.objects.get()
    assert draft.shots == [{"prompt": example.prompt, "answer": example.answer}]
    assert draft.instructions == "Kept too."
    as_editor.post(at("change_shots"), {"add": example.key})
    assert len(WorkbenchDraft.objects.get().shots) == 1
    as_editor.post(at("change_shots"), {"drop": "0"})
    assert WorkbenchDraft.objects.get().shots == []


def test_picked_ones_differ_in_their_answers(as_editor, bench, at):
    as_editor.post(at("change_shots"), {"pick": "1"})
    picked = WorkbenchDraft.objects.get().shots
    assert len(picked) == shots.PICKED
    assert len({shot["answer"] for shot in picked}) == shots.PICKED
    assert picked == shots.pick(bench, room=512)


def test_a_search_finds_training_examples(as_editor, bench, at):
    example = shots.search(bench, "", [])[0]
    page = text(as_editor.get(at(), {"q": example.prompt}, headers=HTMX))
    assert page.lstrip().startswith('<ul class="found"')
    assert f'value="{example.key}"' in page
    assert "No example says that." in text(as_editor.get(at(), {"q": "zebra crossing"}))


@pytest.fixture
def questions(goal, owner) -> Goal:
    """A goal that trains nothing: its examples are questions, for practice and for the test."""
    goals.choose_method(goal=goal, method="prompt")
    goal.pairs = [{"prompt": "Is it ready?", "answer": "topic: repair\ndue: today"}]
    goal.save()
    return path.ready(goal, owner)


def test_where_nothing_is_trained_own_pairs_and_practice_are_shown(as_editor, questions, at):
    assert not Example.objects.filter(split=Split.TRAIN)
    page = text(as_editor.get(at()))
    assert "What is shown is not asked." in page
    as_editor.post(at("change_shots"), {"pick": "1"})
    picked = WorkbenchDraft.objects.get().shots
    assert picked[0]["prompt"] == "Is it ready?"
    assert len(picked) == shots.PICKED
    sealed = set(Example.objects.filter(split=Split.TEST).values_list("prompt", flat=True))
    assert not sealed & {shot["prompt"] for shot in picked}
    as_editor.post(at("change_shots"), {"drop": "0"})
    as_editor.post(at("change_shots"), {"add": "pair-0"})
    assert WorkbenchDraft.objects.get().shots[-1]["prompt"] == "Is it ready?"


def test_a_practice_prompt_that_is_shown_is_not_asked(as_editor, questions, at, voice):
    total = len(practice.prompts(questions))
    voice.say = knows_all(questions)
    assert f"{total} of {total} right" in tries_all(as_editor, at)
    shown = practice.prompts(questions)[0]
    as_editor.post(at("change_shots"), {"add": shown.row})
    voice.asked.clear()
    assert f"{total - 1} of {total - 1} right" in tries_all(as_editor, at)
    asked = {lane["messages"][-1]["content"] for one in voice.asked for lane in one["lanes"]}
    assert shown.prompt not in asked


def test_a_pair_that_is_also_in_the_test_is_not_shown(questions):
    sealed = Example.objects.filter(split=Split.TEST).first()
    questions.pairs = [{"prompt": sealed.prompt.upper(), "answer": sealed.answer}]
    assert shots.from_goal(questions) == []
    assert shots.find(questions, "pair-0") is None
    assert shots.find(questions, str(sealed.pk)) is None


def test_shots_leave_room_for_the_question(bench):
    assert shots.within([{"prompt": "x" * 500, "answer": "y" * 500}] * 9, room=1000) == [
        {"prompt": "x" * 500, "answer": "y" * 500}
    ]


# ---- Versions ----


def test_a_kept_version_never_changes(as_editor, bench, at):
    as_editor.post(at("keep"), {"instructions": "First."})
    as_editor.post(at("keep"), {"instructions": "Second."})
    as_editor.post(at("keep"), {"instructions": "First."})
    kept = Candidate.objects.filter(saved=True).order_by("revision")
    assert [one.instructions for one in kept] == ["First.", "Second."]
    assert [one.revision for one in kept] == [1, 2]
    assert kept[0].name == "Instructions 1"


def test_versions_show_the_score_they_had(as_editor, bench, at, voice):
    voice.say = knows_all(bench)
    total = len(practice.prompts(bench))
    tries_all(as_editor, at)
    as_editor.post(at("keep"), {"instructions": "Sort it."})
    as_editor.post(at("save"), {"instructions": "Something else."})
    asked = len(voice.asked)
    page = text(as_editor.get(at()))
    assert f"{total} of {total} right" in page
    assert "best so far" in page
    assert len(voice.asked) == asked


def test_nothing_cannot_be_kept(as_editor, bench, at):
    reply = as_editor.post(at("keep"), {"instructions": "  "})
    assert reply.status_code == 422
    assert "nothing to keep yet" in text(reply)
    assert not Candidate.objects.filter(saved=True).exists()


def test_two_versions_side_by_side_say_what_changed(as_viewer, as_editor, bench, at, voice):
    tries_all(as_editor, at)
    as_editor.post(at("keep"), {"instructions": "Sort it."})
    voice.say = knows_all(bench)
    tries_all(as_editor, at, instructions="Sort it well.")
    as_editor.post(at("keep"), {"instructions": "Sort it well."})
    first, second = Candidate.objects.filter(saved=True).order_by("revision")
    page = text(as_viewer.get(at("version", first.pk), {"with": second.pk}))
    assert "From version 1 to version 2." in page
    assert "<ins> well</ins>" in page
    assert "1 added, 0 taken out" in page
    assert "The practice prompts on which they differ" in page


def test_going_on_from_a_version_brings_its_words_back(as_editor, bench, at):
    as_editor.post(at("change_shots"), {"pick": "1", "instructions": "First."})
    as_editor.post(at("keep"), {"instructions": "First."})
    as_editor.post(at("save"), {"instructions": "Spoiled."})
    kept = Candidate.objects.get(saved=True)
    as_editor.post(at("take_up", kept.pk))
    draft = WorkbenchDraft.objects.get()
    assert (draft.instructions, draft.shots) == ("First.", kept.shots)


def test_off_the_list_is_not_gone(as_editor, bench, at):
    as_editor.post(at("keep"), {"instructions": "First."})
    kept = Candidate.objects.get(saved=True)
    as_editor.post(at("forget", kept.pk))
    assert Candidate.objects.filter(pk=kept.pk, saved=False).exists()
    assert as_editor.get(at("version", kept.pk)).status_code == 404
    as_editor.post(at("keep"), {"instructions": "First."})
    assert Candidate.objects.get(saved=True) == kept


# ---- Who ----


def test_a_viewer_looks_and_a_stranger_does_not(as_viewer, as_stranger, as_editor, bench, at):
    as_editor.post(at("keep"), {"instructions": "First."})
    kept = Candidate.objects.get(saved=True)
    assert "You may look here, not write." in text(as_viewer.get(at()))
    for name, ids in (
        ("save", ()), ("try_some", ()), ("change_shots", ()), ("take_hint", ()), ("suggest", ()),
        ("keep", ()), ("take_up", (kept.pk,)), ("forget", (kept.pk,)),
    ):  # fmt: skip
        assert as_viewer.post(at(name, *ids)).status_code == 403
        assert as_stranger.post(at(name, *ids)).status_code == 404
        assert as_editor.get(at(name, *ids)).status_code == 405
    assert as_stranger.get(at("version", kept.pk)).status_code == 404


def test_without_examples_or_a_model_the_page_says_what_is_missing(as_editor, goal, at):
    page = text(as_editor.get(at()))
    assert "There is nothing to practise on yet." in page
    assert "No model is here yet." in page
    reply = as_editor.post(at("try_some"), {"instructions": "x"}, headers=HTMX)
    assert "Choose which model answers first." in text(reply)


def test_a_draft_goes_with_its_goal(as_editor, bench, at):
    as_editor.post(at("save"), {"instructions": "x"})
    goals.delete_goal(goal=bench)
    assert not WorkbenchDraft.objects.exists()
