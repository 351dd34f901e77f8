"""How long an answer may get, in tokens, before it is cut off.

Of a training's samples and an evaluation's answers: training/answer_length.py.
"""

MIN_NEW_TOKENS, MAX_NEW_TOKENS = 64, 400  # the most also for a chat, where no answer is known
# Some remote models spend tokens on reasoning before they answer.
REMOTE_CHAT_TOKENS, REMOTE_BATCH_TOKENS = 1_200, 1_024


def max_new_tokens(longest: int) -> int:
    """Enough tokens for the longest expected answer, given in characters, and some more to notice
    rambling."""
    return min(max(longest // 2 + 32, MIN_NEW_TOKENS), MAX_NEW_TOKENS)
