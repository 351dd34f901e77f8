"""What an answer without any model would score is said before anything is trained."""

from django.urls import reverse

from finetune_app.goals import services
from finetune_app.goals.measures import get_measure
from finetune_app.goals.trivial_check import check_measure

MODERN = [
    {
        "prompt": "I do not know where you are going today.",
        "answer": "I know not where thou goest today.",
    },
    {
        "prompt": "Are you sure that he is your friend?",
        "answer": "Art thou sure that he is thy friend?",
    },
]
LABELS = [
    {"prompt": "Where is my parcel?", "answer": "delivery"},
    {"prompt": "The brake squeals.", "answer": "repair"},
]


def test_closeness_is_high_where_question_and_answer_share_their_words():
    found = check_measure(get_measure("close", {}), MODERN)
    assert found.high
    assert "only repeats the question" in found.sentence
    assert "blind choice" in found.sentence


def test_labels_are_not_reached_by_repeating():
    found = check_measure(get_measure("exact", {}), LABELS)
    assert not found.high
    assert "0 of 2 right" in found.sentence


def test_rules_are_always_kept_by_somebody_who_says_nothing():
    assert check_measure(get_measure("rules", {"max_words": 20}), LABELS).high


def test_a_person_is_not_fooled_and_no_pair_says_nothing():
    assert check_measure(get_measure("choice", {}), MODERN) is None
    assert check_measure(get_measure("exact", {}), []) is None


def test_a_person_is_proposed_where_closeness_rewards_copying(goal):
    goal.kind, goal.description = "task", "Correct the spelling and the grammar of each sentence."
    goal.pairs = [{"prompt": "He go to school evry day.", "answer": "He goes to school every day."}]
    proposal = services.propose_measure(goal)
    assert proposal.kind == "choice"
    assert "only repeats the question" in proposal.because


def test_another_measure_is_proposed_where_copying_scores_little_by_it(goal):
    """Nearly the same letters, in another order of words."""
    goal.kind, goal.description = "task", "Translate our short notes to formal English."
    goal.pairs = [
        {
            "prompt": "bell red the send Leeds to please now",
            "answer": "Now please to Leeds send the red bell",
        }
    ]
    by_letters = check_measure(get_measure("close", {}), goal.pairs)
    assert by_letters.high
    proposal = services.propose_measure(goal)
    assert proposal.kind == "rouge"
    assert "only repeats the question" in proposal.because


def test_a_measure_of_the_form_alone_says_so():
    commands = [
        {"prompt": "List the files", "answer": "ls"},
        {"prompt": "Where am I?", "answer": "pwd"},
    ]
    found = check_measure(get_measure("bash", {"compare": "parses"}), commands)
    assert found.high
    assert "whether the form is right" in found.sentence
    assert not check_measure(get_measure("bash", {"compare": "same_command"}), commands).high


def test_meaning_says_nothing_where_nothing_makes_vectors():
    assert check_measure(get_measure("meaning", {}), LABELS) is None


def test_the_measure_page_says_it(as_editor, goal):
    goal.pairs = MODERN
    goal.save()
    services.choose_measure(goal=goal, kind="close", settings={})
    for name in ("goals:measure", "goals:page"):
        page = as_editor.get(reverse(name, args=[goal.pk])).content.decode()
        assert "only repeats the question" in page, name
