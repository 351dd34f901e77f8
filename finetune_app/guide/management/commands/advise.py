"""manage.py advise: reads answers as JSON from standard input, prints the recommendation as JSON.

echo '{"improve": "tone", "tried_prompt": "inconsistent", "pairs": 28}' | manage.py advise
"""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand

from finetune_app.guide.advice import Answers, AnswersError, advise


class Command(BaseCommand):
    help = "Say which method fits: answers as a JSON object on standard input, JSON out."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            answers = Answers.read(_read_json(sys.stdin.buffer.read()))
        except AnswersError as error:
            self.stderr.write(str(error))
            sys.exit(2)
        result = advise(answers).as_json()
        self.stdout.write(json.dumps(result, indent=2, ensure_ascii=False))


def _read_json(given: bytes) -> Any:
    try:
        return json.loads(given)
    except (ValueError, RecursionError) as error:
        raise AnswersError(
            "Standard input has to be one JSON object with the answers, such as "
            '{"improve": "tone", "pairs": 40}; this could not be read as JSON.'
        ) from error
