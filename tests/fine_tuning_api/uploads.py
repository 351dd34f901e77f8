"""Training files as a program uploads them, and the trainings of its jobs."""

import json

from finetune_app.fine_tuning_api.models import FineTuningJob
from finetune_app.training.models import Training


def lines(count: int = 24, start: int = 0, answer: str = "repair") -> bytes:
    rows = [
        {
            "messages": [
                {
                    "role": "user",
                    "content": f"Bike {n * 7919 % 100_003} {('drags', 'squeaks')[n % 2]}",
                },
                {"role": "assistant", "content": f"{answer} {n % 5}"},
            ]
        }
        for n in range(start, start + count)
    ]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def upload(client, content: bytes | None = None, name: str = "shop.jsonl"):
    return client.files.create(
        file=(name, lines() if content is None else content), purpose="fine-tune"
    )


def training_of(job) -> Training | None:
    return FineTuningJob.objects.get(public_id=job.id.removeprefix("ftjob-")).training
