"""Hugging Face Jobs and repositories, on the official client `huggingface_hub` 2.4.

Shape-tested against a stub, never run live. Every method raises PlatformError: with `retry_after`
where asking again may help. Nothing that the hub wrote gets into a message unread.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext as _

from finetune_app.basemodels.catalogue import hub_address
from finetune_app.basemodels.hub_client import HubBusy, HubOffline, cause_of, hub_api, status_of
from finetune_app.core.errors import PlainError
from finetune_app.core.storable_text import storable
from finetune_app.hub_training.hardware import MICRO
from finetune_app.providers.guard import NotAllowed
from finetune_app.remote_training.platforms.contract import PlatformError, UnknownJob

LABEL = "finetune"  # whose value is the mark
RETRY_SECONDS = 30.0
MAX_LOOKED_THROUGH = 200  # newest jobs
MAX_STAGE, MAX_MESSAGE = 40, 300
JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}", re.ASCII)  # a part of addresses
MAX_LOG_LINES = 200


@dataclass(frozen=True)
class HubJob:
    """state: the hub's own word, in capitals. seconds: since it was made; None where it does
    not say."""

    job_id: str
    state: str
    message: str = ""
    seconds: int | None = None


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. sha256: "" of a small one."""

    name: str
    size: int
    sha256: str


class HubJobs:
    """One account, by its token. container_token: what the containers get; "" for the same."""

    def __init__(self, token: str, container_token: str = "") -> None:
        self._token, self._container_token = token, container_token or token
        try:
            self._api = hub_api(token)
        except HubOffline:
            raise PlainError(
                _("This installation is told to stay offline (HF_HUB_OFFLINE).")
            ) from None

    def ensure_repository(self, repo_id: str, kind: str) -> None:
        """A private one of this name, which nobody else has: it holds the mark."""
        with self._errors():
            self._api.create_repo(repo_id, repo_type=kind, private=True, exist_ok=True)
            if not self._info(repo_id, kind).private:
                raise PlatformError(_("%(name)s is not private.") % {"name": repo_id})

    def send(self, repo_id: str, files: Mapping[str, Path]) -> str:
        """All files in one commit, unless it has them; returns the commit."""
        from huggingface_hub import CommitOperationAdd

        with self._errors():
            made = self._api.create_commit(
                repo_id,
                [CommitOperationAdd(name, path) for name, path in files.items()],
                commit_message="Rows and settings of a training",
                repo_type="dataset",
                num_threads=1,
            )
        return str(made.oid)[:64]

    def price(self, flavor: str) -> Decimal | None:
        """Dollars a minute; None where it is not offered any more, or not paid by the minute."""
        with self._errors():
            for one in self._api.list_jobs_hardware():
                if one.name == flavor and one.unit_label == "minute":
                    return Decimal(int(one.unit_cost_micro_usd)) / MICRO
        return None

    def find(self, namespace: str, mark: str) -> HubJob | None:
        """The job with this mark."""
        with self._errors():
            jobs = self._api.list_jobs(labels={LABEL: mark}, namespace=namespace, timeout=60)
            for job in islice(jobs, MAX_LOOKED_THROUGH):
                if (job.labels or {}).get(LABEL) == mark:
                    return _hub_job(job)
        return None

    def start(
        self,
        *,
        namespace: str,
        mark: str,
        image: str,
        command: list[str],
        environment: dict[str, str],
        flavor: str,
        timeout_seconds: int,
    ) -> HubJob:
        """The token goes along as a secret of the job, which the hub keeps encrypted."""
        with self._errors():
            job = self._api.run_job(
                image=image,
                command=command,
                env=environment,
                secrets={"HF_TOKEN": self._container_token},
                flavor=flavor,
                timeout=timeout_seconds,
                labels={LABEL: mark},
                name="finetune-training",
                namespace=namespace,
            )
            return _hub_job(job)

    def poll(self, namespace: str, job_id: str) -> HubJob:
        with self._errors():
            return _hub_job(self._api.inspect_job(job_id=job_id, namespace=namespace))

    def cancel(self, namespace: str, job_id: str) -> None:
        with self._errors():
            self._api.cancel_job(job_id=job_id, namespace=namespace)

    def log(self, namespace: str, job_id: str) -> str:
        """The last lines that it printed; "" where they cannot be had."""
        try:
            with self._errors():
                lines = self._api.fetch_job_logs(
                    job_id=job_id, namespace=namespace, follow=False, tail=MAX_LOG_LINES
                )
                # The tokens go first: cut short, they would not be found.
                found = [
                    storable(self._without_tokens(str(line)))[:500]
                    for line in islice(lines, MAX_LOG_LINES)
                ]
        except PlatformError:
            return ""
        return "\n".join(found)

    def files(self, repo_id: str) -> dict[str, HubFile]:
        """By name; none where the repository is gone."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            with self._errors():
                siblings = self._info(repo_id, "model").siblings or []
                found = [
                    HubFile(one.rfilename, int(one.size or 0), one.lfs.sha256 if one.lfs else "")
                    for one in siblings
                    if isinstance(one.rfilename, str)
                ]
        except PlatformError as problem:
            if isinstance(problem.__cause__, RepositoryNotFoundError):
                return {}
            raise
        return {file.name: file for file in found}

    def download(self, repo_id: str, file: HubFile, path: Path) -> str:
        """Its SHA-256, which is the one that the hub told, where it told one."""
        from huggingface_hub.utils._http import get_session

        url = f"{hub_address()}/{repo_id}/resolve/main/{quote(file.name)}"
        digest = hashlib.sha256()
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            self._errors(),
            get_session().stream(
                "GET",
                url,
                headers={"Authorization": f"Bearer {self._token}"},
                extensions={"most_bytes": file.size},
            ) as answer,
            path.open("wb") as output,
        ):
            if answer.status_code != 200:
                raise PlatformError(_("The hub does not give out %(name)s.") % {"name": file.name})
            for block in answer.iter_bytes():
                digest.update(block)
                output.write(block)
        if path.stat().st_size != file.size or file.sha256 not in ("", digest.hexdigest()):
            raise PlatformError(
                _("%(name)s was damaged on its way.") % {"name": file.name},
                retry_after=RETRY_SECONDS,
            )
        return digest.hexdigest()

    def delete(self, repo_id: str, kind: str) -> None:
        """Nothing happens where it is gone already."""
        with self._errors():
            self._api.delete_repo(repo_id, repo_type=kind, missing_ok=True)

    def _without_tokens(self, text: str) -> str:
        for token in sorted((self._token, self._container_token), key=len, reverse=True):
            text = text.replace(token, "…")  # the longer first: it may begin with the other
        return text

    def _info(self, repo_id: str, kind: str) -> Any:
        return self._api.repo_info(repo_id, repo_type=kind, files_metadata=True, timeout=60.0)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Errors of the client in plain words."""
        try:
            yield
        except PlatformError:
            raise
        except Exception as error:
            raise _problem(error) from error


def _problem(error: Exception) -> PlatformError:
    busy: HubBusy | None = cause_of(error, HubBusy)
    if busy is not None:
        words = _("The hub does not answer.") if busy.status is None else _("The hub is busy.")
        return PlatformError(words, retry_after=busy.retry_after or RETRY_SECONDS)
    if refused := cause_of(error, NotAllowed):
        return PlatformError(str(refused))
    status = status_of(error)
    if status == 401:
        return PlatformError(
            _("The hub does not accept your team's token any more. An owner saves a new one."),
            retry_after=RETRY_SECONDS,
        )
    if status == 402:
        return PlatformError(_("The account has no credit left for jobs. Add some on the hub."))
    if status == 403:
        return PlatformError(_("The token of your team may not do this for that account."))
    if status == 404:
        return UnknownJob(_("The hub does not know it."), retry_after=RETRY_SECONDS)
    if status is not None:
        return PlatformError(_("The hub refused it (%(status)d).") % {"status": status})
    return PlatformError(
        _("The hub answered something else than expected."), retry_after=RETRY_SECONDS
    )


def _hub_job(found: Any) -> HubJob:
    """Raises ValueError where it has no id or no stage."""
    job_id, stage = found.id, found.status.stage
    if not isinstance(job_id, str) or not JOB_ID.fullmatch(job_id):
        raise ValueError("no job")
    if not isinstance(stage, str) or not str(getattr(stage, "value", stage)).isprintable():
        raise ValueError("no stage")
    message = found.status.message
    # Starting is billed, too, and running_secs leaves it out; with the wait for a machine, which
    # is not billed, it is at most what has to be paid.
    seconds = found.durations.total_secs if found.durations else None
    return HubJob(
        job_id,
        str(getattr(stage, "value", stage))[:MAX_STAGE],
        message[:MAX_MESSAGE] if isinstance(message, str) and message.isprintable() else "",
        seconds if isinstance(seconds, int) and 0 <= seconds < 10**8 else None,
    )
