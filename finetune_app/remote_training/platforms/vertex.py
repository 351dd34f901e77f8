"""Tuning of Gemini on Google Cloud's Vertex AI.

Written for the official clients, `google-genai` 3.6 and `google-cloud-storage` 3.17; tested against
a stub that is made from their types, never against Google Cloud itself.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import httpx2
import requests
from google import genai
from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage as cloud_storage
from google.genai import types
from google.genai.errors import APIError
from google.oauth2.credentials import Credentials

from finetune_app.basemodels.automatic_settings import DPO
from finetune_app.providers import guard, service_account
from finetune_app.providers.guarded_httpx2 import guarded_client
from finetune_app.remote_training.platforms.answers import count, name, one_line
from finetune_app.remote_training.platforms.contract import (
    Order,
    PlatformError,
    RemoteEvent,
    RemoteJob,
)
from finetune_app.remote_training.platforms.guarded_requests import guard_session
from finetune_app.remote_training.platforms.plain_errors import (
    RETRY_SECONDS,
    WRONG_FORMAT,
    refusal,
)

STORAGE = "https://storage.googleapis.com"
FOLDER = "finetune/"  # of the files in the bucket
MARK = "finetune-order"  # a label
STATES = {
    "JOB_STATE_SUCCEEDED": "succeeded",
    "JOB_STATE_PARTIALLY_SUCCEEDED": "succeeded",
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_EXPIRED": "failed",
    "JOB_STATE_CANCELLED": "cancelled",
}
WRITES = ["storage.objects.create", "storage.objects.delete", "storage.objects.get"]
TIMEOUT_MILLISECONDS = 60_000
PAGE_SIZE = 100
MAX_JOBS = 2000  # looked through for a mark
MAX_REASONS = 10  # why examples were left out
DISPLAY_NAME_LENGTH = 128


class VertexPlatform:
    """The mark of an order is a label of the job; files lie in a bucket of the account."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        allowed: Collection[str],
        project: str,
        region: str,
        bucket: str,
        storage: str = "",
    ) -> None:
        self._url, self._key, self._allowed = url, key, allowed
        self._project, self._region = project, region
        self._bucket_name, self._storage = bucket, storage or STORAGE
        self._host = str(httpx.URL(url).host)
        self._http = guarded_client(allowed)

    def check(self) -> None:
        """Nothing is written: the bucket says what the key may do there."""
        with self._errors():
            next(iter(self._listed()), None)
            allowed = self._bucket.test_iam_permissions(WRITES, retry=None)
        if missing := set(WRITES) - set(allowed):
            raise PlatformError(
                f"The key may not {_may_not(missing)} files in the bucket {self._bucket_name}. "
                "Give its service account the role “Storage Object Admin” there."
            )

    def find_file(self, file_name: str, *, begun: bool = False) -> str | None:
        with self._errors():
            blob = self._bucket.get_blob(FOLDER + file_name, retry=None)
            return name(blob.name) if blob else None

    def upload(self, path: Path, file_name: str) -> str:
        with self._errors():
            blob = self._bucket.blob(FOLDER + file_name)
            blob.upload_from_filename(str(path), content_type="application/jsonl", retry=None)
            return name(blob.name)

    def check_order(self, order: Order, files: Sequence[str]) -> None:
        """Files are read when the job begins."""

    def find(self, mark: str, training_file: str) -> RemoteJob | None:
        with self._errors():
            for number, job in enumerate(self._listed()):
                if (job.labels or {}).get(MARK) == mark:
                    return self._remote_job(job)
                if number >= MAX_JOBS:
                    raise PlatformError(
                        f"There are more than {MAX_JOBS} tuning jobs, too many to look through. "
                        "Delete old ones there."
                    )
        return None

    def start(self, order: Order, files: Sequence[str]) -> RemoteJob:
        by_pairs = types.TuningMethod.PREFERENCE_TUNING
        by_answers = types.TuningMethod.SUPERVISED_FINE_TUNING
        config = types.CreateTuningJobConfig(
            method=by_pairs if order.method == DPO else by_answers,
            validation_dataset=types.TuningValidationDataset(gcs_uri=self._address(files[1]))
            if len(files) > 1
            else None,
            tuned_model_display_name=order.suffix[:DISPLAY_NAME_LENGTH],
            epoch_count=int(order.hyperparameters["n_epochs"]),
            labels={MARK: order.mark},
        )
        with self._errors():
            job = self._client.tunings.tune(
                base_model=order.model,
                training_dataset=types.TuningDataset(gcs_uri=self._address(files[0])),
                config=config,
            )
            return self._remote_job(job)

    def poll(self, job_id: str) -> RemoteJob:
        with self._errors():
            return self._remote_job(self._client.tunings.get(name=job_id))

    def events(self, job_id: str, after: str) -> list[RemoteEvent]:
        """The platform keeps none. What can be told is its state, and what became of the rows."""
        with self._errors():
            job = self._client.tunings.get(name=job_id)
            at = _seconds(job.update_time) or _seconds(job.create_time)
            said = [_words(job.tuning_job_state, "TUNING_JOB_STATE_"), *_about_rows(job)]
            lines = [one_line(text, self._key) for text in said if text]
            return [RemoteEvent(line[:120], at, line) for line in lines]

    def cancel(self, job_id: str) -> None:
        with self._errors():
            self._client.tunings.cancel(name=job_id)

    def delete_file(self, file_id: str) -> None:
        with self._errors():
            try:
                self._bucket.blob(file_id).delete(retry=None)
            except NotFound:
                return

    # ---- Clients ----

    @cached_property
    def _token(self) -> str:
        if known := service_account.known_token(self._key):
            return known
        address, form = service_account.token_form(self._key)
        answer = self._http.post(address, data=form)
        body = answer.json() if answer.status_code in (200, 400, 401) else None
        if body is None:
            raise refusal(answer.url.host, answer.status_code, "", "")
        return service_account.read_token(self._key, answer.status_code, body)

    @cached_property
    def _client(self) -> genai.Client:
        """It makes no tries of its own: what may have been posted is looked for first."""
        return genai.Client(
            vertexai=True,
            project=self._project,
            location=self._region,
            credentials=Credentials(token=self._token),
            http_options=types.HttpOptions(
                base_url=self._url,
                api_version="v1beta1",
                httpx_client=self._http,
                timeout=TIMEOUT_MILLISECONDS,
            ),
        )

    @cached_property
    def _bucket(self) -> Any:
        credentials = Credentials(token=self._token)
        session = guard_session(AuthorizedSession(credentials), self._allowed)
        client = cloud_storage.Client(
            project=self._project,
            credentials=credentials,
            _http=session,
            client_options={"api_endpoint": self._storage},
        )
        return client.bucket(self._bucket_name)

    def _listed(self) -> Iterator[types.TuningJob]:
        """Jobs, the newest first. Raises ValueError where the answer has no list."""
        config = types.ListTuningJobsConfig(page_size=PAGE_SIZE)
        return islice(iter(self._client.tunings.list(config=config)), MAX_JOBS + 1)

    def _address(self, file_id: str) -> str:
        return f"gs://{self._bucket_name}/{file_id}"

    # ---- Answers ----

    def _remote_job(self, job: types.TuningJob) -> RemoteJob:
        """Raises ValueError unless it has a name and a state: it would be taken for another."""
        state = name(getattr(job.state, "value", None))
        tuned = job.tuned_model
        error = one_line(job.error.message, self._key) if job.error else ""
        found = STATES.get(state) or " · ".join(
            filter(None, (_words(state, "JOB_STATE_"), _words(job.tuning_job_state)))
        )
        if found == "succeeded" and not (tuned and tuned.endpoint):
            # The endpoint may be made a little later than the model.
            found = "succeeded, and its endpoint is not there yet"
        return RemoteJob(
            job_id=name(job.name),
            state=name(found),
            model=name(tuned.endpoint) if found == "succeeded" and tuned else "",
            trained_tokens=_billable(job),
            error=error,
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Errors of the clients in plain words."""
        try:
            yield
        except PlatformError:
            raise
        except guard.NotAllowed as problem:
            raise PlatformError(str(problem)) from None
        except (service_account.KeyRefused, GoogleAuthError):
            service_account.forget_token(self._key)
            raise refusal(self._host, 401, "the service account gets no token.", "") from None
        except APIError as problem:
            raise self._refusal(problem.code, problem.message, problem.response) from None
        except GoogleAPICallError as problem:
            raise self._refusal(problem.code, problem.message, problem.response) from None
        except (httpx2.HTTPError, requests.RequestException):
            raise PlatformError(
                f"{self._host} cannot be reached just now.", retry_after=RETRY_SECONDS
            ) from None
        except WRONG_FORMAT:
            raise PlatformError(
                f"{self._host} answered with something that is not Vertex AI's format.",
                retry_after=RETRY_SECONDS,
            ) from None

    def _refusal(self, status: int | None, message: object, response: Any) -> PlatformError:
        said = one_line(message, service_account.known_token(self._key) or self._key)
        headers = getattr(response, "headers", None) or {}
        wait = str(headers.get("retry-after", ""))
        if status in (401, 403):
            service_account.forget_token(self._key)
        if status == 429:
            return PlatformError(
                f"{self._host} is busy, or the project has no quota for this now: {said}",
                retry_after=float(wait) if wait.isdecimal() else RETRY_SECONDS,
            )
        return refusal(self._host, int(status or 500), said, wait)


def _may_not(missing: set[str]) -> str:
    return ", ".join(sorted(one.rpartition(".")[2] for one in missing))


def _words(state: object, prefix: str = "TUNING_JOB_STATE_") -> str:
    """ "JOB_STATE_RUNNING" as "running"; a word that does not begin so as it is; "" without one."""
    word = getattr(state, "value", state)
    if not isinstance(word, str) or word.endswith("_UNSPECIFIED"):
        return ""
    return word.removeprefix(prefix).replace("_", " ").lower() if prefix in word else word


def _stats(job: types.TuningJob) -> Any:
    """What became of the rows, by supervised or preference tuning."""
    told = job.tuning_data_stats
    return told and (told.supervised_tuning_data_stats or told.preference_optimization_data_stats)


def _billable(job: types.TuningJob) -> int | None:
    return count(getattr(_stats(job), "total_billable_token_count", None)) or None


def _about_rows(job: types.TuningJob) -> Iterator[str]:
    stats = _stats(job)
    if shortened := count(getattr(stats, "total_truncated_example_count", None)):
        yield f"{shortened} examples were longer than it takes, and were cut."
    reasons = getattr(stats, "dropped_example_reasons", None) or []
    for reason in dict.fromkeys(islice(reasons, MAX_REASONS)):
        yield f"Examples were left out: {reason}"


def _seconds(moment: object) -> int:
    return int(moment.timestamp()) if isinstance(moment, datetime) else 0
