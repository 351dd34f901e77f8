"""What is known of each training platform before its client is loaded."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from finetune_app.basemodels.automatic_settings import DPO, SUPERVISED

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

OPENAI, TOGETHER, FIREWORKS, VERTEX = "openai", "together", "fireworks", "vertex"
OVER = ("succeeded", "failed", "cancelled")  # of the states of a job, see contract.RemoteJob


@dataclass(frozen=True)
class PlatformKind:
    """A platform, its rules, and what has to be said of it.

    name: stored with the account, and the module in `platforms/`. package: what its client is
    imported as. extra: of pyproject, which installs it. client: the version it was tested with.
    address: of its API; "" where the owner enters it. model: an example of a name there.
    row_format: of row_formats.py. chat_api, chat_path: how its models are asked, and below which
    part of the address. untuned: the whole name of a model that was not tuned. least_rows,
    most_epochs: as its documentation has them. deployment: what has to be done there before the
    tuned model answers; "" where it answers at once.
    """

    name: str
    label: "StrPromise | str"
    about: "StrPromise"
    package: str
    extra: str
    client: str
    model: str
    tested: "StrPromise"
    address: str = ""
    row_format: str = "openai"
    chat_api: str = "openai"
    chat_path: str = ""
    untuned: str = "{model}"
    least_rows: int = 10
    most_epochs: int = 20
    methods: tuple[str, ...] = (SUPERVISED, DPO)
    deployment: "StrPromise | str" = ""

    @property
    def is_installed(self) -> bool:
        try:
            return find_spec(self.package) is not None
        except ModuleNotFoundError:  # of the package that it is in
            return False


KINDS = (
    PlatformKind(
        name=OPENAI,
        label=_("OpenAI's fine-tuning API"),
        about=_(
            "Another Finetune, for example on a machine with a graphics card; OpenAI; and any "
            "service with its fine-tuning API."
        ),
        package="openai",
        extra="openai",
        client="openai 3.57",
        model="gpt-4.1-mini-2025-04-14",
        tested=_(
            "OpenAI takes no new customers for fine-tuning, and no new trainings from 7 January "
            "2027. This was tested with Finetune's own API and with OpenAI's description of "
            "theirs, never with OpenAI itself."
        ),
    ),
    PlatformKind(
        name=TOGETHER,
        label="Together",
        about=_("Open models such as Llama and Qwen. Needs an account and its key."),
        package="together",
        extra="together",
        client="together 3.1",
        address="https://api.together.ai/v1",
        model="Qwen/Qwen3-8B",
        tested=_(
            "The requests were tested with Together's client 3.1 and a stand-in for the platform, "
            "never with Together itself."
        ),
        deployment=_(
            "Together lets a tuned model answer once you have deployed it there on a dedicated "
            "endpoint, which is billed by the minute, also while nobody asks."
        ),
    ),
    PlatformKind(
        name=FIREWORKS,
        label="Fireworks",
        about=_("Open models such as Llama and Qwen. Needs an account, its id and a key."),
        package="fireworks",
        extra="fireworks",
        client="fireworks-ai 1.2",
        address="https://api.fireworks.ai",
        model="accounts/fireworks/models/qwen3-8b",
        chat_path="/inference/v1",
        tested=_(
            "The requests were tested with Fireworks' client 1.2 and a stand-in for the platform, "
            "never with Fireworks itself."
        ),
        deployment=_(
            "Fireworks lets a tuned model answer once you have deployed it there, which is billed "
            "by the hour of its graphics card, also while nobody asks."
        ),
    ),
    PlatformKind(
        name=VERTEX,
        label="Google Vertex AI",
        about=_(
            "Gemini. Needs a project on Google Cloud, a bucket in it, and the key of a service "
            "account that may use both."
        ),
        package="google.genai",
        extra="vertex",
        client="google-genai 3.6, google-cloud-storage 3.17",
        address="https://{region}-aiplatform.googleapis.com",
        model="gemini-2.5-flash",
        row_format="gemini",
        chat_api="gemini",
        chat_path="/v1",
        untuned="projects/{project}/locations/{region}/publishers/google/models/{model}",
        tested=_(
            "The requests were tested with Google's clients (google-genai 3.6, "
            "google-cloud-storage 3.17) and a stand-in for the platform, never with Google Cloud "
            "itself."
        ),
    ),
)
BY_NAME = {kind.name: kind for kind in KINDS}
