"""What the pages of an import show."""

from typing import Any

from finetune_app.deployment.code_snippets import snippets_for
from finetune_app.goals.measures import summary
from finetune_app.openai_import.models import OpenAIImport

MAX_TESTS_SHOWN = 3
SHOWN_CHARACTERS = 300


def initial(item: OpenAIImport) -> dict[str, Any]:
    """Of the form: what the job says."""
    name = item.job.get("name") or item.suite.get("name") or ""
    return {"name": name[:64], **item.job.get("hyperparameters", {})}


def found(item: OpenAIImport) -> dict[str, Any]:
    inside = item.found
    suite, rows = item.suite, item.suite.get("rows", [])
    return {
        "item": item,
        "inside": inside,
        "job": item.job,
        "tests": len(rows),
        "first_tests": [
            {
                "prompt": row[-2]["content"][:SHOWN_CHARACTERS],
                "wanted": row[-1]["content"][:SHOWN_CHARACTERS],
            }
            for row in rows[:MAX_TESTS_SHOWN]
        ],
        "measure": summary(suite["measure"], suite["measure_settings"]) if suite else "",
        "notes": [
            *item.job.get("notes", []),
            *inside.get("notes", []),
            *suite.get("notes", []),
        ],
    }


def made(item: OpenAIImport) -> dict[str, Any]:
    job = item.fine_tuning_job
    return {
        "item": item,
        "goal": item.goal,
        "training": job.training if job else None,
        "snippets": snippets_for(job.tuned_model_name) if job else [],
        "old_model": item.job.get("model", ""),
    }
