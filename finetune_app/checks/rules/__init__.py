"""The check rules: each reads the approved rows and yields its findings.

A rule is a function `(rows, context) -> Iterator[CheckResult]`. To add one, write it and add it
to RULES.
"""

from collections.abc import Callable, Iterator

from finetune_app.checks.rules import (
    amount,
    answers,
    conflicts,
    disagreement,
    duplicates,
    labels,
    languages,
    leakage,
    lengths,
    missing_parts,
    mojibake,
    private_data,
    toxicity,
)
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow

Rule = Callable[[list[CheckRow], CheckContext], Iterator[CheckResult]]

RULES: tuple[Rule, ...] = (
    missing_parts.no_answer,
    missing_parts.unknown_role,
    private_data.secrets,
    duplicates.duplicate_examples,
    leakage.leaked_prompts,
    leakage.split_groups,
    lengths.too_long,
    amount.too_few,
    amount.no_test,
    amount.small_test,
    amount.no_validation,
    conflicts.contradictions,
    answers.fails_measure,
    answers.blank_answer,
    answers.copied_answer,
    answers.same_answers,
    missing_parts.no_question,
    answers.refusals,
    private_data.personal_data,
    mojibake.broken_characters,
    languages.mixed_languages,
    toxicity.toxic,
    missing_parts.mixed_instructions,
    labels.imbalance,
    disagreement.disagreement,
)


def run_rules(rows: list[CheckRow], context: CheckContext) -> list[CheckResult]:
    return [result for rule in RULES for result in rule(rows, context)] if rows else []
