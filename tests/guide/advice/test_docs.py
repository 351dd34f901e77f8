"""docs/wizard.md agrees with the rules and the questions."""

from pathlib import Path

from finetune_app.guide.advice.questions import QUESTIONS
from finetune_app.guide.advice.rules import RULES
from finetune_app.guide.advice.sources import SOURCES

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "wizard.md").read_text()


def rules_table() -> str:
    lines = ["| rule | when | effect | source |", "|---|---|---|---|"]
    lines += [
        f"| {rule.name} | {rule.condition} | {rule.effect.words} | {', '.join(rule.source)} |"
        for rule in RULES
    ]
    return "\n".join(lines)


def questions_table() -> str:
    lines = ["| name | question | answers |", "|---|---|---|"]
    lines += [
        f"| {q.name} | {q.title} | {'; '.join(str(choice.title) for choice in q.choices)} |"
        for q in QUESTIONS.values()
    ]
    return "\n".join(lines)


def sources_list() -> str:
    return "\n".join(f"- **{key}**: {title}" for key, title in SOURCES.items())


def test_the_docs_contain_every_rule():
    assert rules_table() in PAGE, f"put this into docs/wizard.md:\n{rules_table()}"


def test_the_docs_contain_every_question():
    assert questions_table() in PAGE, f"put this into docs/wizard.md:\n{questions_table()}"


def test_the_docs_list_every_source_and_each_is_used():
    assert sources_list() in PAGE, f"put this into docs/wizard.md:\n{sources_list()}"
    assert {key for rule in RULES for key in rule.source} == set(SOURCES)
