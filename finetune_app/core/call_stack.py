"""One large piece of memory for the frames of a deep call.

Python 3.11 and 3.12 keep frames in pieces of 16 kB, and give a piece back to the system as soon as
its last frame has ended: where a loop's calls cross the end of a piece, each costs a new one
(python/cpython issue 142183, mended in later versions). How deep that happens is chance; of a page
it took up to a fifth of the time.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Words of memory. A piece is twice as large as what asks for it, rounded up: 1 MB, of which this
# frame leaves nearly half to the frames of what it calls, and touches next to nothing itself.
FRAME_WORDS = 66_000


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


_call.__code__ = _call.__code__.replace(co_stacksize=FRAME_WORDS)


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the function; all frames below it lie in one piece."""
    found: T = _call(function, *args, **kwargs)
    return found
