"""A thought before an answer is told from the answer."""

import pytest

from finetune_app.core.thinking import split_thought


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("<think>\nIt is late.\n</think>\n\nGo home.", "It is late.", "Go home."),
        (" \n<think>It is late.</think>Go home.", "It is late.", "Go home."),
        ("<think>\r\nIt is late.\r\n</think>\r\n\r\nGo.\r\n", "It is late.", "Go."),
        ("<think>\n\n</think>\n\nGo home.", "", "Go home."),
        ("<think>a</think>\n  indented", "a", "  indented"),
        ("<think>a</think>b</think>c", "a", "b</think>c"),
        ("<think>It is late.", "It is late.", ""),
        ("<think>", "", ""),
        ("Go <think>late</think> home.\n", "", "Go <think>late</think> home.\n"),
        ("It is late.</think>Go home.", "", "It is late.</think>Go home."),
        ("<thinking>It is late.</thinking>", "", "<thinking>It is late.</thinking>"),
        ("", "", ""),
    ],
)
def test_a_thought_at_the_start_is_parted_from_the_answer(text, thought, answer):
    assert split_thought(text) == (thought, answer)
