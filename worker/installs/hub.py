"""Downloads a model from a hub: lists its files and resumes incomplete downloads.

Uses plain HTTP instead of huggingface_hub, whose current version discards an incomplete file when
it is interrupted. Files are requested by commit, so they cannot change in between.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from finetune_app.basemodels.catalogue import hub_address
from finetune_app.basemodels.hub import licence_of
from finetune_app.core.environment import hub_is_offline
from worker.channel import UserError
from worker.installs.files import File, Plan, Tell, plan_of

MAX_ATTEMPTS = 4  # consecutive attempts without a new byte
CONNECT_SECONDS, READ_SECONDS = 10, 30


class TemporaryHubError(Exception):
    """A temporary error of the hub; another attempt may succeed."""


class Hub:
    """One model on a hub. `token` is sent to the hub only, not to redirect targets."""

    def __init__(self, hub_id: str, token: str | None, revision: str = "") -> None:
        """revision: the commit that was agreed to; the latest one where none was."""
        self.hub_id, self.revision = hub_id, revision
        self._has_token = bool(token)
        self._where = hub_address()
        headers = {"User-Agent": "finetune", "Accept-Encoding": "identity"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._client = httpx.Client(
            headers=headers,
            follow_redirects=True,
            max_redirects=5,
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        )

    def close(self) -> None:
        self._client.close()

    def plan(self) -> Plan:
        """The files of the commit that was agreed to, or of the latest one."""
        if hub_is_offline():
            raise UserError(
                "no_network",
                "This installation is told to stay offline (HF_HUB_OFFLINE). Install the model "
                "from a folder instead.",
            )
        url = f"{self._where}/api/models/{quote(self.hub_id)}/revision/{self.revision or 'main'}"
        try:
            found = self._retry(lambda: self._get_json(url))
            offered = [_file(one) for one in found["siblings"]]
            plan = plan_of(self.hub_id, str(found["sha"]), offered)
            return replace(plan, licence=licence_of(found), gated=bool(found.get("gated")))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                "no_network",
                "The model hub answered something that is not a list of files. Perhaps this "
                "network wants you to sign in first: do so, then press Continue.",
            ) from error

    def fetch(self, plan: Plan, file: File, path: Path, tell: Tell) -> None:
        """Download `file` to `path`, resuming `path`.part if it exists."""
        part = path.with_name(path.name + ".part")
        where = f"{quote(self.hub_id)}/resolve/{quote(plan.revision)}/{quote(file.name)}"
        tries = 0
        while not part.exists() or part.stat().st_size < file.size:
            before = part.stat().st_size if part.exists() else 0
            try:
                self._stream(f"{self._where}/{where}", file, part, tell)
                if not file.size:
                    break
            except (httpx.TransportError, TemporaryHubError) as error:
                gained = part.exists() and part.stat().st_size > before
                tries = 1 if gained else tries + 1
                if tries >= MAX_ATTEMPTS:
                    raise _no_network() from error
                tell(part.stat().st_size if part.exists() else 0)
                time.sleep(0.5 * 2**tries)
        if part.stat().st_size > file.size:
            part.unlink()
            raise UserError("damaged", f"{file.name} is larger than the hub said. Press Continue.")
        part.rename(path)

    def _stream(self, url: str, file: File, part: Path, tell: Tell) -> None:
        here = part.stat().st_size if part.exists() else 0
        headers = {"Range": f"bytes={here}-"} if here else {}
        with self._client.stream("GET", url, headers=headers) as answer:
            if answer.status_code == 416:  # the partial file does not match
                part.unlink(missing_ok=True)
                raise TemporaryHubError("range refused")
            self._raise_for_error(answer)
            goes_on = _continues(answer, here, file)
            before, here = here, here if goes_on else 0
            with part.open("ab" if goes_on else "wb") as output:
                for block in answer.iter_bytes():
                    output.write(block)
                    here += len(block)
                    if here > file.size:
                        return
                    tell(here)
        if file.size and here <= before:
            raise TemporaryHubError("nothing new came")  # immediate retries might never end

    def _get_json(self, url: str) -> Any:
        answer = self._client.get(url, params={"blobs": "true"})
        self._raise_for_error(answer)
        return answer.json()

    def _retry(self, ask: Any) -> Any:
        for last in (False, False, True):
            try:
                return ask()
            except (httpx.TransportError, TemporaryHubError) as error:
                if last:
                    raise _no_network() from error
                time.sleep(1)
        raise AssertionError("unreachable")

    def _raise_for_error(self, answer: httpx.Response) -> None:
        """Raises UserError for errors of the hub."""
        status, code = answer.status_code, answer.headers.get("X-Error-Code", "")
        if status == 404 or code == "RepoNotFound":
            raise UserError(
                "not_found",
                f"The hub has no model “{self.hub_id}”, or it is private. Check the spelling; for "
                "a private model save an access token first.",
            )
        if status in (401, 403):
            raise UserError("no_access", self._no_access_message())
        if status == 429 or status >= 500:
            raise TemporaryHubError(f"status {status}")
        if status >= 400:
            raise UserError("no_network", f"The model hub refused with status {status}.")

    def _no_access_message(self) -> str:
        if self._has_token:
            return (
                "Its maker wants you to accept the licence first, or your access token may not "
                "read this model. Accept the licence on the model's page with the account the "
                "token belongs to, then press Continue."
            )
        return (
            "Its maker wants you to accept the licence and give a token. Accept it on the model's "
            "page on the hub, save an access token below, then press Continue."
        )


def _continues(answer: httpx.Response, here: int, file: File) -> bool:
    """Whether the response continues after the `here` bytes present; else it is the whole file.

    Raises TemporaryHubError if it is neither, such as a proxy's error page.
    """
    part = answer.status_code == 206
    if part and answer.headers.get("Content-Range", "").startswith(f"bytes {here}-"):
        return True
    length = answer.headers.get("Content-Length", str(file.size))
    if here and (part or length != str(file.size)):
        raise TemporaryHubError("that is not the file")
    return False


def _file(one: Mapping[str, Any]) -> File:
    large = one.get("lfs") or {}
    size = large.get("size") or one.get("size") or 0
    git = "" if large else str(one.get("blobId") or "")
    return File(str(one["rfilename"]), int(size), str(large.get("sha256") or ""), git)


def _no_network() -> UserError:
    return UserError(
        "no_network",
        "The model hub does not answer. What is here already is kept: press Continue when the "
        "network is back.",
    )
