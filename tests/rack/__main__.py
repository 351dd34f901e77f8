"""Starts the rack (hosts.py) and leaves it up until Ctrl-C, to look at it by hand.

python -m tests.rack
"""

import os
import signal
import sys
from contextlib import suppress
from importlib import import_module

import django


def main() -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "finetune_app.settings"
    import_module("tests.environment")  # this process, too, has a data folder of its own
    django.setup()
    from tests.rack import hosts

    for number in (signal.SIGINT, signal.SIGTERM):  # as Ctrl-C, also in the background
        signal.signal(number, signal.default_int_handler)
    if reason := hosts.why_not():
        print(f"Left out: {reason}.")
        return 0
    with hosts.started() as up:
        print(f"\nAll hosts are up. Open this address:\n\n    {up.set_up_address()}\n")
        for host in up.hosts.values():
            names = ", ".join(one.name for one in host.manager.processes)
            print(f"    {host.name:8} {host.address:12} {names:38} {host.folder}/logs")
        print("\nCtrl-C ends and removes all of it.", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
