"""Preference pairs: two answers to the same conversation, of which people prefer one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from finetune_app.core.chat_messages import Message, Tool
from worker.template import TokenizedExample, tokenize_example


@dataclass(frozen=True)
class PreferencePair:
    """The same conversation with its better and its worse answer, as tokens.

    number: of the row, unique in a version. Only the tokens from the first difference on are
    learned: what comes before is equally likely in both, so it cancels out.
    """

    number: int
    chosen: TokenizedExample
    rejected: TokenizedExample

    @property
    def padded_tokens(self) -> int:
        return 2 * max(self.chosen.padded_tokens, self.rejected.padded_tokens)

    @property
    def conversations(self) -> list[TokenizedExample]:
        return [self.chosen, self.rejected]

    @property
    def left_out(self) -> int:
        return self.chosen.left_out

    @property
    def unlearned_answers(self) -> int:
        """Earlier answers are context in every pair; there is nothing to warn of."""
        return 0


def tokenize_pair(
    tokenizer: PreTrainedTokenizerBase,
    number: int,
    messages: Sequence[Message],
    rejected: str,
    max_tokens: int,
    tools: Sequence[Tool] = (),
) -> PreferencePair:
    """Both answers after the same conversation: what is left out of one is left out of the other.

    messages: end in the better answer. Raises UserError (bad_data), ExampleTooLong.
    """
    worse = [*messages[:-1], Message(role="assistant", content=rejected)]
    chosen = tokenize_example(tokenizer, messages, max_tokens, tools)
    refused = tokenize_example(tokenizer, worse, max_tokens, tools)
    most = max(chosen.left_out, refused.left_out)
    if chosen.left_out < most:
        chosen = _without_turns(tokenizer, messages, most, max_tokens, tools)
    if refused.left_out < most:
        refused = _without_turns(tokenizer, worse, most, max_tokens, tools)
    same = _common_prefix(chosen.input_ids, refused.input_ids)
    return PreferencePair(number, _learned_from(chosen, same), _learned_from(refused, same))


def _without_turns(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    count: int,
    max_tokens: int,
    tools: Sequence[Tool],
) -> TokenizedExample:
    first = int(messages[0]["role"] == "system")
    kept = [*messages[:first], *messages[first + count :]]
    return replace(tokenize_example(tokenizer, kept, max_tokens, tools), left_out=count)


def _common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Number of tokens that both begin with."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _learned_from(example: TokenizedExample, start: int) -> TokenizedExample:
    mask = example.loss_mask
    return replace(example, loss_mask=[False] * start + mask[start:])
