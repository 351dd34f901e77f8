"""All entries of the catalogue are complete and plausible."""

import pytest

from finetune_app.basemodels.catalogue import (
    GROUPS,
    STARTER,
    catalogue,
    entry_of,
    entry_with_hub_id,
)
from finetune_app.basemodels.services import HUB_ID
from worker.installs import starter

EVERY = pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.slug)


@EVERY
def test_an_entry_says_what_a_person_wants_to_know(entry):
    assert HUB_ID.fullmatch(entry.hub_id)
    assert entry.group in GROUPS
    assert entry.slug.replace("-", "").isalnum()
    assert entry.slug == entry.slug.lower()
    for words in (entry.name, entry.licence, entry.languages):
        assert words.strip()
    for sentence in (entry.good_for, entry.too_small_for):
        assert sentence.endswith(".")


@EVERY
def test_the_shape_adds_up_to_the_parameters(entry):
    """The linear layers, and embeddings once or twice; norms and biases are hardly anything."""
    shape = entry.shape
    embeddings = (shape.parameters - shape.linear_parameters) / (shape.vocabulary * shape.hidden)
    assert embeddings == pytest.approx(round(embeddings), abs=0.003)
    assert round(embeddings) in (1, 2)


@EVERY
def test_the_size_is_that_of_bf16(entry):
    """Up to a quarter more where the file holds shared embeddings twice."""
    assert 0.95 < entry.size_gb * 1e9 / (2 * entry.parameters) < 1.27
    assert 2048 <= entry.context <= 1_000_000


def test_entries_are_unique():
    for name in ("slug", "name", "hub_id"):
        values = [getattr(entry, name) for entry in catalogue()]
        assert len(set(values)) == len(values)


def test_it_reaches_from_the_starter_to_llama_3_8b():
    entries = catalogue()
    assert entries[0] == entry_of(STARTER)
    assert {entry.group for entry in entries} == set(GROUPS)
    assert entry_of("llama-3-8b-instruct").gated
    sizes = [entry.parameters for entry in entries]
    assert sizes == sorted(sizes)


def test_hub_ids_ignore_case():
    assert entry_with_hub_id("huggingfacetb/smollm2-135m-instruct") == entry_of(STARTER)
    assert entry_with_hub_id("nobody/nothing") is None


def test_the_starter_is_the_one_that_is_prepared():
    assert entry_of(STARTER).hub_id == starter.HUB_ID
