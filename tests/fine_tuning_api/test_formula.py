"""The arithmetic of multi graders."""

import math

import pytest

from finetune_app.fine_tuning_api.graders.formula import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    FormulaError,
    evaluate,
    parse_formula,
)

VALUES = {"a": 0.5, "b": 2.0, "max": 7.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", 0.5),
        ("1", 1.0),
        ("a + b * 3", 6.5),
        ("(a + b) / 2 - 1", 0.25),
        ("b ^ 3", 8.0),
        ("b ** 3", 8.0),
        ("1 + b ^ 2 * 3", 13.0),
        ("-a", -0.5),
        ("min(a, b, 1) + max(a, b)", 2.5),
        ("max", 7.0),
        ("abs(-b) + floor(a) + ceil(a)", 3.0),
        ("exp(0) + sqrt(4) + log(1)", 3.0),
        (" a\t", 0.5),
    ],
)
def test_it_computes(text, value):
    assert evaluate(parse_formula(text, VALUES), VALUES) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c",
        "a +",
        "a; b",
        "a = 1",
        "'a'",
        "True",
        "a if b else 1",
        "a < b",
        "a.real",
        "a[0]",
        "[a]",
        "a % b",
        "a // b",
        "a @ b",
        "not a",
        "lambda: a",
        "__import__('os')",
        "open(a)",
        "abs(a, b)",
        "min()",
        "min(*a)",
        "min(a, key=b)",
        "min(a, b)(a)",
        "(a := 1)",
        "abs",
        "f'{a}'",
        "1j",
        "a\x00",
        "(" * 400 + "a" + ")" * 400,
        "a" * (MAX_CHARACTERS + 1),
        "-" * (MAX_CHARACTERS - 1) + "a",
    ],
)
def test_all_else_is_no_formula(text):
    with pytest.raises(FormulaError):
        parse_formula(text, VALUES)


def test_a_formula_that_is_nested_too_deep_is_refused_in_words():
    with pytest.raises(FormulaError, match=f"nested more than {MAX_DEPTH} deep"):
        parse_formula("-" * MAX_DEPTH + "a", VALUES)


@pytest.mark.parametrize(
    "text",
    [
        "+".join("a" * (MAX_CHARACTERS // 2)),
        "-" * (MAX_DEPTH - 1) + "a",
        "abs(" * 90 + "-" * (MAX_DEPTH - 91) + "a" + ")" * 90,
    ],
)
def test_what_is_taken_can_be_computed_wherever_it_is_asked(text):
    """Whatever called it has used up part of the stack: here 200 calls."""

    def computed(calls: int) -> float:
        return computed(calls - 1) if calls else evaluate(parse_formula(text, VALUES), VALUES)

    assert math.isfinite(computed(200))


@pytest.mark.parametrize(
    "text", ["1 / (a - a)", "log(0)", "sqrt(-b)", "(-b) ^ a", "9 ^ 9 ^ 9 ^ 9", "exp(9999)"]
)
def test_a_value_that_is_not_finite_is_an_error(text):
    with pytest.raises(FormulaError):
        evaluate(parse_formula(text, VALUES), VALUES)


def test_a_long_number_is_an_error_not_a_long_computation():
    with pytest.raises(FormulaError):
        evaluate(parse_formula("9" * 900, VALUES), VALUES)


def test_values_that_are_infinite_do_not_come_out():
    with pytest.raises(FormulaError):
        evaluate(parse_formula("a", VALUES), {"a": math.inf})
