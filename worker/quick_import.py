"""Import libraries of hundreds of thousands of objects in less time."""

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

# Where these are installed peft, accelerate and transformers import them, for what nobody asks of
# them here: a fifth of the time, and 100 MB. Whoever needs one imports it in a function.
UNUSED = ("bitsandbytes", "boto3", "scipy")


def quick_import(names: Sequence[str], unused: Sequence[str] = ()) -> list[ModuleType]:
    """The modules of these names, imported in this order. unused: as if these were not installed,
    until it returns; for all threads.

    Python looks for garbage again and again among what an import makes, and later once more among
    all of it, though next to none of it is garbage: for torch, transformers and peft a fifth of
    their time. So it is not looked for meanwhile, and never among these objects.

    Of what is in memory by then, whatever refers to itself stays for good. So call it before there
    is a model.
    """
    if all(name in sys.modules for name in names):
        return [sys.modules[name] for name in names]
    gc.disable()
    try:
        with missing(unused):
            return [import_module(name) for name in names]
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def missing(names: Sequence[str]) -> Iterator[None]:
    """As if those of these that nobody has imported were not installed; for all threads."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: it cannot be found
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
