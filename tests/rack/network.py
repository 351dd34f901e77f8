"""A network of hosts on this computer: a network namespace each, joined by a bridge.

Linux only, as root. The computer itself is a host of the network, too, so that a browser on it
reaches the others.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PREFIX = "ft-"  # of all that is made here; at most 15 characters with a host's name
BRIDGE = f"{PREFIX}bridge"
SUBNET = "10.87.0"
LOCK = Path(tempfile.gettempdir()) / "finetune-hosts.lock"


class Network:
    """Hosts by name. `with` removes all of it at the end, and what an earlier one has left."""

    def __enter__(self) -> "Network":
        """Raises BlockingIOError where another network is up."""
        self._lock = LOCK.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.remove()
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("address", "add", f"{SUBNET}.1/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
        self._lock.close()

    def add(self, name: str, number: int) -> str:
        """A host of this name; its address, which ends with the number."""
        namespace, cable, address = f"{PREFIX}{name}", f"{PREFIX}{name}", f"{SUBNET}.{number}"
        _ip("netns", "add", namespace)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", cable, "master", BRIDGE, "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        return address

    def on(self, name: str, command: list[str]) -> list[str]:
        """The command, to be run on that host and under its name."""
        with_name = ["unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', name]
        return ["ip", "netns", "exec", f"{PREFIX}{name}", *with_name, *command]

    def unplug(self, name: str) -> None:
        """No packet goes in or out, and nobody is told, as when the power goes."""
        _ip("link", "set", f"{PREFIX}{name}", "down")

    def plug(self, name: str) -> None:
        _ip("link", "set", f"{PREFIX}{name}", "up")

    def remove(self) -> None:
        """Everything of this and of an earlier network. A namespace may outlive its name for a
        moment, so its cable does not go with it."""
        for line in _ip("-oneline", "link", "show").splitlines():
            name = line.split()[1].partition("@")[0].rstrip(":")
            if name.startswith(PREFIX):
                _ip("link", "delete", name)
        for line in _ip("netns", "list").splitlines():
            if line.startswith(PREFIX):
                _ip("netns", "delete", line.split()[0])


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


def why_not() -> str:
    """Why there can be no network of hosts on this computer, and what to do; "" where it can."""
    if not all(map(shutil.which, ("ip", "unshare"))):
        return "`ip` and `unshare` are missing: install iproute2 and util-linux (Linux only)"
    if os.geteuid() != 0:
        return "network namespaces need root: run it with sudo"
    tried = subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True)
    return "" if tried.returncode == 0 else "network namespaces are not allowed here (a container?)"
