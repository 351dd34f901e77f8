"""Asks a model to write better instructions, from the answers that were wrong."""

import re
from collections.abc import Sequence

from finetune_app.candidates.specs import Shot
from finetune_app.candidates.validation_prompts import PromptResult
from finetune_app.core.chat_messages import Message
from finetune_app.core.thinking import split_thought
from finetune_app.goals.measures.formatting import strip_code_fence

MIN_WRITER_PARAMETERS = 3_000_000_000  # smaller models do not write usable instructions
MAX_FAILURES = 8
MAX_FAILURE_CHARS = 1_500  # of a prompt, and of each answer
MAX_NEW_TOKENS = 900


def rewrite_messages(
    instructions: str, shots: Sequence[Shot], results: Sequence[PromptResult]
) -> list[Message]:
    """The messages that ask for better instructions, with the current ones and some failures.

    The few-shot examples are not rewritten, so only their number is given.
    """
    wrong = [
        (one.prompt, one.answer) for one in results if one.answer and one.answer.passed is False
    ]
    failures = "\n\n".join(
        f"--- {number} ---\nPrompt:\n{_shortened(prompt.prompt)}\n"
        f"Wanted answer:\n{_shortened(prompt.wanted)}\n"
        f"Given answer:\n{_shortened(answer.text.strip())}"
        for number, (prompt, answer) in enumerate(wrong[:MAX_FAILURES], start=1)
    )
    right = sum(bool(one.answer and one.answer.passed) for one in results)
    return [
        {
            "role": "system",
            "content": (
                "You write instructions for a language model. You are shown the instructions it "
                "has now and answers it got wrong. Find what they have in common, then write "
                "better instructions: say what to do, the exact form of the answer, and how to "
                "decide the cases that went wrong. Write general rules; do not copy the prompts "
                "or their answers. Plain words, short sentences, at most 250 words. Answer with "
                "the new instructions alone, without a title or remarks."
            ),
        },
        {
            "role": "user",
            "content": (
                f"Instructions now:\n{instructions or '(none)'}\n\n"
                f"{len(shots)} example conversations follow them.\n\n"
                f"Right: {right} of {len(results)}. Wrong:\n\n{failures}"
            ),
        },
    ]


def extract_instructions(text: str) -> str:
    """The instructions in a model's reply, without thought, code fence or title."""
    _, text = split_thought(text)
    text = strip_code_fence(text.strip()).strip()
    return re.sub(
        r"\A(?:#+ *|\*\*)?(?:new |better |improved )?instructions:?(?:\*\*)?:?\s*\n",
        "",
        text,
        flags=re.IGNORECASE,
    ).strip()


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_FAILURE_CHARS else text[: MAX_FAILURE_CHARS - 1] + "…"
