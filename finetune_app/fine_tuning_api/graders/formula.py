"""The arithmetic of a multi grader: `(name + 2 * email) / 3`, without eval.

Operators and functions are those of OpenAI's guide to graders. All numbers are floats, so no power
takes long to compute.
"""

import ast
import math
import operator
from collections.abc import Callable, Collection, Mapping

MAX_CHARACTERS = 1000
MAX_DEPTH = 500  # as deep as a sum of that many characters; a web request has stack left for it
OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}
SIGNS: dict[type[ast.unaryop], Callable[[float], float]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
OF_ONE: dict[str, Callable[[float], float]] = {
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,
}
OF_SOME: dict[str, Callable[[list[float]], float]] = {"min": min, "max": max}


class FormulaError(ValueError):
    """The formula cannot be understood, or has no finite value."""


def parse_formula(text: str, names: Collection[str]) -> ast.expr:
    """names: of the variables. Raises FormulaError."""
    if len(text) > MAX_CHARACTERS:
        raise FormulaError(f"It is longer than {MAX_CHARACTERS:,} characters.")
    try:
        formula = ast.parse(text.strip().replace("^", "**"), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise FormulaError("It is no arithmetic.") from None
    depth, level = 0, [formula]
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise FormulaError(f"It is nested more than {MAX_DEPTH} deep.")
        for node in level:
            _check(node, names)
        level = [part for node in level for part in _operands(node)]
    return formula


def evaluate(formula: ast.expr, values: Mapping[str, float]) -> float:
    """Raises FormulaError where there is no finite value, as in a division by zero."""
    try:
        result = _value(formula, values)
    except (ArithmeticError, ValueError) as problem:
        raise FormulaError(str(problem)) from problem
    if not math.isfinite(result):
        raise FormulaError("It has no finite value.")
    return result


def _operands(node: ast.expr) -> list[ast.expr]:
    """What it is computed from; the name of a function is not among them."""
    match node:
        case ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.UnaryOp(operand=operand):
            return [operand]
        case ast.Call(args=args):
            return args
    return []


def _check(node: ast.expr, names: Collection[str]) -> None:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return
        case ast.Name(id=name) if name in names:
            return
        case ast.Name(id=name):
            raise FormulaError(f"There is no grader “{name}”.")
        case ast.BinOp(op=sign) if type(sign) in OPERATORS:
            return
        case ast.UnaryOp(op=sign) if type(sign) in SIGNS:
            return
        case ast.Call(func=ast.Name(id=name), args=[_], keywords=[]) if name in OF_ONE:
            return
        case ast.Call(func=ast.Name(id=name), args=[_, *_], keywords=[]) if name in OF_SOME:
            return
    functions = ", ".join((*OF_SOME, *OF_ONE))
    raise FormulaError(f"It may have the names of graders, numbers, + - * / ^ and {functions}.")


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    """Of a formula that is checked."""
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=sign, right=right):
            return OPERATORS[type(sign)](_value(left, values), _value(right, values))
        case ast.UnaryOp(op=sign, operand=operand):
            return SIGNS[type(sign)](_value(operand, values))
        case ast.Call(func=ast.Name(id=name), args=args):
            given = [_value(arg, values) for arg in args]
            return float(OF_ONE[name](given[0]) if name in OF_ONE else OF_SOME[name](given))
        case ast.Constant(value=int() | float() as number):
            return float(number)
    raise FormulaError("It is no arithmetic.")
