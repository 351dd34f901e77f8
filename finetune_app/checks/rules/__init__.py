"""The check rules: each reads the approved rows and yields its findings.

A rule is a function `(rows, context) -> Iterator[CheckResult]`. To add one, write it and add it
to RULES.
"""

from collections.abc import Callable, Iterator

from finetune_app.checks.rules import (
    amount,
    answers,
    conflicts,
    content,
    duplicates,
    labels,
    leakage,
    missing_parts,
)
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow

Rule = Callable[[list[CheckRow], CheckContext], Iterator[CheckResult]]

RULES: tuple[Rule, ...] = (
    missing_parts.no_answer,
    missing_parts.unknown_role,
    content.secrets,
    duplicates.duplicate_examples,
    leakage.leaked_prompts,
    content.too_long,
    amount.too_few,
    amount.no_test,
    amount.small_test,
    amount.no_validation,
    conflicts.contradictions,
    answers.fails_measure,
    answers.blank_answer,
    answers.copied_answer,
    missing_parts.no_question,
    answers.refusals,
    content.personal_data,
    content.broken_characters,
    content.mixed_languages,
    content.toxic,
    content.mixed_instructions,
    labels.imbalance,
    labels.disagreement,
)


def run_rules(rows: list[CheckRow], context: CheckContext) -> list[CheckResult]:
    return [result for rule in RULES for result in rule(rows, context)] if rows else []
