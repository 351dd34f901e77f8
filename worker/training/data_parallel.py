"""Data-parallel training: several processes, one for each graphics card, share every update.

The first process (rank 0) is the job's own: it measures, saves and reports. Once everything that
the others read is on disk, it starts them (peer.py). Each computes the gradient of its share of the
batch; the gradients are summed, and so all make the same update. When one of them dies, all do, and
the job's next attempt goes on from the last checkpoint.

They find each other by torchrun's variables: MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE and
LOCAL_RANK.
"""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
from torch import distributed

from worker.training.spec import TrainingSpec

PEER_DIED = 77  # exit code
WAIT = timedelta(hours=2)  # for rank 0, which measures and saves alone
T = TypeVar("T")
log = logging.getLogger(__name__)


class Ranks:
    """The processes that share an update: this one alone, unless distributed."""

    rank, count = 0, 1

    def share(self, examples: Sequence[T]) -> list[T]:
        """The examples of this process."""
        return list(examples[self.rank :: self.count])

    def sum(self, tensor: torch.Tensor) -> None:
        """Add up the tensors of all processes, in place."""

    def go_on(self, wanted: bool = False) -> bool:
        """Whether there is another step, which rank 0 decides."""
        return wanted

    def close(self) -> None:
        """No process needs the others any more."""


class DistributedRanks(Ranks):
    """Several processes, on the same number of cards or, for tests, on the processor."""

    def __init__(
        self, rank: int, count: int, peers: Sequence["subprocess.Popen[str]"] = ()
    ) -> None:
        """peers: that this process has started. Raises RuntimeError when the others do not come."""
        self.rank, self.count = rank, count
        self._peers, self._closing = peers, False
        self._watch()  # one may die before it has joined, and would be waited for in vain
        on_card = torch.cuda.is_available()
        if on_card:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)))
        self._device = torch.device("cuda" if on_card else "cpu")
        distributed.init_process_group(
            "nccl" if on_card else "gloo", rank=rank, world_size=count, timeout=WAIT
        )

    def sum(self, tensor: torch.Tensor) -> None:
        distributed.all_reduce(tensor)

    def go_on(self, wanted: bool = False) -> bool:
        answer = torch.tensor([int(wanted)], device=self._device)
        distributed.broadcast(answer, 0)
        return bool(answer.item())

    def _watch(self) -> None:
        """End this process when a peer dies, because a sum would wait for it in vain."""
        for peer in self._peers:
            threading.Thread(target=self._wait_for, args=[peer], daemon=True).start()

    def _wait_for(self, peer: subprocess.Popen[str]) -> None:
        code = peer.wait()
        if not self._closing:
            log.error("A peer of this training ended with code %s.", code)
            os._exit(PEER_DIED)

    def close(self) -> None:
        self._closing = True
        distributed.destroy_process_group()
        for peer in self._peers:
            peer.wait()


def processes_for(spec: TrainingSpec) -> int:
    """As many as wanted, or one for each graphics card; never more than examples in an update."""
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 1
    return max(1, min(spec.processes or cards, spec.batch_size))


def start_peers(spec: TrainingSpec, folder: Path) -> Ranks:
    """The other processes of this training; only this one where one is enough."""
    count = processes_for(spec)
    if count == 1:
        return Ranks()
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    order = json.dumps({"folder": str(folder), "spec": asdict(spec)}, default=str)
    peers = [_start_peer(rank, count, order) for rank in range(1, count)]
    return DistributedRanks(0, count, peers)


def _start_peer(rank: int, count: int, order: str) -> "subprocess.Popen[str]":
    numbers = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
    peer = subprocess.Popen(
        [sys.executable, "-m", "worker.training.peer", str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=sys.stderr,
        text=True,
        env=os.environ | numbers,
    )
    assert peer.stdin is not None
    peer.stdin.write(order)
    peer.stdin.close()
    return peer


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
