"""The text of an answer while it is written is that of all its tokens decoded at once."""

import random

import pytest
from transformers import AutoTokenizer

from tests.families import real_tokenizers
from tests.starter import FOLDER, needs_starter
from worker.engine.growing_text import GrowingText

TEXTS = (
    "Hello, wörld! 東京は晴れです 😀👩‍👩‍👧 \n\n  def f(x):\n\treturn x  ",
    "don't  stop . , ! ? ' it 's",
    "नमस्ते दुनिया",
    "<|im_end|> a </s> b",
)
LONGEST = 40  # of tokens at random, which are no characters mostly


def token_lists(tokenizer) -> list[list[int]]:
    chance = random.Random(17)
    at_random = [[chance.randrange(len(tokenizer)) for _ in range(LONGEST)] for _ in range(20)]
    special = tokenizer.all_special_ids * 2 + tokenizer("x y").input_ids
    return [*(tokenizer(text).input_ids for text in TEXTS), *at_random, special]


def assert_texts_are_those_of_all_tokens(tokenizer) -> None:
    for token_ids in token_lists(tokenizer):
        growing, lengths = GrowingText(), []
        for count in range(1, len(token_ids) + 1):
            whole = tokenizer.decode(token_ids[:count], skip_special_tokens=True)
            assert growing.decode(tokenizer, token_ids[:count]) == whole
            lengths.append(len(whole))
        assert growing.lengths == lengths
        at_once = GrowingText()
        assert at_once.decode(tokenizer, token_ids) == whole
        assert at_once.lengths == lengths


@pytest.mark.parametrize("name", real_tokenizers.NAMES)
def test_with_the_tokenizer_of_a_family(name):
    if not real_tokenizers.is_there(name):
        pytest.skip("its tokenizer is not here: python -m tests.families.real_tokenizers")
    assert_texts_are_those_of_all_tokens(
        AutoTokenizer.from_pretrained(real_tokenizers.folder_of(name))
    )


@needs_starter
def test_with_the_tokenizer_of_the_starter():
    assert_texts_are_those_of_all_tokens(AutoTokenizer.from_pretrained(FOLDER))


def test_a_long_answer_is_not_decoded_again_and_again(engine):
    """Each token is decoded a few times, not once for every token behind it."""

    class Counting:
        decoded = 0

        def decode(self, token_ids, **options):
            self.decoded += len(token_ids)
            return engine.loaded.tokenizer.decode(token_ids, **options)

    tokenizer, growing = Counting(), GrowingText()
    token_ids = engine.loaded.tokenizer("She said that they all went home again. " * 50).input_ids
    for count in range(1, len(token_ids) + 1):
        growing.decode(tokenizer, token_ids[:count])
    assert tokenizer.decoded < 8 * len(token_ids)
