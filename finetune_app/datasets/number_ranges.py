"""Many numbers in little room: "1-400 402 500-7000". Pure Python."""

from collections.abc import Iterable, Iterator


def pack(numbers: Iterable[int]) -> str:
    """`numbers` rise."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return " ".join(f"{first}-{last}" if last > first else str(first) for first, last in runs)


def unpack(text: str) -> Iterator[int]:
    for run in text.split():
        first, _dash, last = run.partition("-")
        yield from range(int(first), int(last or first) + 1)


def count(text: str) -> int:
    bounds = (run.partition("-") for run in text.split())
    return sum(int(last or first) - int(first) + 1 for first, _dash, last in bounds)


def has(text: str, number: int) -> bool:
    for run in text.split():
        first, _dash, last = run.partition("-")
        if number <= int(last or first):
            return number >= int(first)
    return False
