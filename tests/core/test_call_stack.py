"""However deep a loop's calls are, none of them asks the system for memory."""

import resource
from collections.abc import Callable

from finetune_app.core import call_stack
from finetune_app.core.asgi_handlers import RequestThread

CALLS = 500
DEPTHS = range(300)  # frames of about 100 bytes: more than one piece of 16 kB


def most_page_faults() -> int:
    """Of all depths, where the calls of a loop touched the most new memory."""
    return max(at_depth(depth, page_faults_of_a_loop) for depth in DEPTHS)


def at_depth(depth: int, do: Callable[[], int]) -> int:
    return at_depth(depth - 1, do) if depth else do()


def page_faults_of_a_loop() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(CALLS):
        called()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def called() -> int:
    """With a larger frame, so that some depth has it cross the end of a piece."""
    return max(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)


def test_a_call_has_its_frames_in_one_piece():
    assert call_stack.call(most_page_faults) < CALLS / 2


def test_so_has_a_page():
    thread = RequestThread()
    assert thread.submit(most_page_faults).result() < CALLS / 2
    thread.shutdown()


def test_arguments_results_and_errors_pass_through():
    assert call_stack.call(divmod, 7, 2) == (3, 1)
    assert call_stack.call(sorted, [1, 2], reverse=True) == [2, 1]
    try:
        call_stack.call(divmod, 7, 0)
    except ZeroDivisionError:
        return
    raise AssertionError("the error was lost")
