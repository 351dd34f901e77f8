"""What the container runs: a stock image of Python, our libraries from the index, our own worker.

Nothing in the command or the environment is secret: the hub shows both. The token is HF_TOKEN, a
secret of the job, which the client reads by itself.
"""

import sys
from importlib.metadata import version

from finetune_app.basemodels.catalogue import PUBLIC_HUB, hub_address
from finetune_app.core.environment import text_setting
from finetune_app.hub_training.models import HubTraining
from finetune_app.hub_training.packing import BASE, ORDER, REQUIREMENTS, ROWS, WORKER

IMAGE_VARIABLE = "HUB_JOBS_IMAGE"
SCRIPT = """\
set -e
cd "$(mktemp -d)"
pip install --quiet --root-user-action=ignore huggingface-hub=={client}
python - <<'END'
import os
from huggingface_hub import hf_hub_download, list_repo_files
data, commit = os.environ["FINETUNE_DATA"], os.environ["FINETUNE_COMMIT"]
for name in list_repo_files(data, repo_type="dataset", revision=commit):
    if name in {names} or name.startswith("{base}/"):
        hf_hub_download(data, name, repo_type="dataset", revision=commit, local_dir=".")
END
pip install --quiet --root-user-action=ignore -r {requirements}
tar -xzf {worker}
exec python -m worker.hub_job .
"""


def default_image() -> str:
    """A stock image with the same Python as here, unless whoever runs Finetune has named one."""
    stock = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    return text_setting(IMAGE_VARIABLE) or stock


def command() -> list[str]:
    script = SCRIPT.format(
        client=version("huggingface-hub"),
        names=sorted((ROWS, ORDER, REQUIREMENTS, WORKER)),
        base=BASE,
        requirements=REQUIREMENTS,
        worker=WORKER,
    )
    return ["sh", "-c", script]


def environment(training: HubTraining) -> dict[str, str]:
    found = {"FINETUNE_DATA": training.data_repository, "FINETUNE_COMMIT": training.data_commit}
    if hub_address() != PUBLIC_HUB:
        found["HF_ENDPOINT"] = hub_address()
    return found
