"""Prompts, answers and conversations for tests."""

TOPICS = (
    "puncture",
    "brakes",
    "saddle",
    "gears",
    "light",
    "chain",
    "pedal",
    "bell",
    "fork",
    "tyre",
)
ASKS = (
    "My {0} broke on the way to work, can you look at it {1}?",
    "How much is a new {0} for an older bike, fitted {1}?",
    "I would like to bring the {0} back {1} because it does not fit",
    "Is the {0} that I ordered three weeks ago going to arrive {1}?",
    "There is a strange noise near the {0}; do you have time {1}?",
)
WHENS = ("today", "on Monday morning", "before the holidays", "this week", "by the end of May")


def pair(number: int) -> tuple[str, str]:
    """A prompt and its answer. The prompts of numbers below 250 are no near-duplicates."""
    topic, ask, when = TOPICS[number % 10], ASKS[number // 10 % 5], WHENS[number // 50 % 5]
    prompt = f"{ask.format(topic, when)} Ticket {number * 7919}{chr(97 + number % 26) * 3}."
    return prompt, f"topic: {topic}\ndue: {when.replace(' ', '_')}"


def conversation(prompt: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
