"""Files as OpenAI has them."""

import json
from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

SYSTEM = "Answer with one label."
JOB = {
    "object": "fine_tuning.job",
    "id": "ftjob-abc",
    "created_at": 1760000000,
    "model": "gpt-4o-mini-2024-07-18",
    "fine_tuned_model": "ft:gpt-4o-mini-2024-07-18:acme:cards:9xyz",
    "user_provided_suffix": "cards",
    "status": "succeeded",
    "training_file": "file-1",
    "validation_file": None,
    "seed": 42,
    "method": {
        "type": "supervised",
        "supervised": {
            "hyperparameters": {
                "n_epochs": 4,
                "batch_size": "auto",
                "learning_rate_multiplier": 1.8,
            }
        },
    },
}
SUITE = """
# exported
description: Card questions
providers: [openai:gpt-4o-mini]
prompts:
  - '[{"role": "developer", "content": "Answer with one label."},
      {"role": "user", "content": "{{ item.question }}"}]'
defaultTest:
  assert:
    - {type: latency, threshold: 5000}
tests:
  - vars: {item: {question: "Where is my card?", label: card_lost}}
    assert: &check
      - {type: equals, value: "{{item.label}}"}
  - vars: {item: {question: "Is it yes or no?", label: yes}}
    assert: *check
"""


@pytest.fixture
def training_file() -> Callable[[int], SimpleUploadedFile]:
    def make(rows: int = 20, *, first: int = 0, **fields) -> SimpleUploadedFile:
        lines = [
            json.dumps(
                {
                    "messages": [
                        {"role": "system", "content": SYSTEM},
                        {"role": "user", "content": f"My card number {n} is gone"},
                        {"role": "assistant", "content": ["lost", "late", "broken"][n % 3]},
                    ]
                }
                | fields
            )
            for n in range(first, first + rows)
        ]
        return SimpleUploadedFile("cards.jsonl", "\n".join(lines).encode())

    return make


@pytest.fixture
def job_file() -> SimpleUploadedFile:
    return SimpleUploadedFile("job.json", json.dumps(JOB).encode())


@pytest.fixture
def suite_file() -> SimpleUploadedFile:
    return SimpleUploadedFile("promptfooconfig.yaml", SUITE.encode())
