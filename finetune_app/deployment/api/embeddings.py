"""POST /v1/embeddings: texts become vectors, by the model that searches documents here."""

import base64
import os
import time
from array import array
from pathlib import Path
from typing import Any

from django.http import HttpRequest, JsonResponse

from finetune_app.core import engine_client
from finetune_app.deployment import journal
from finetune_app.deployment.api.access import api
from finetune_app.deployment.api.errors import GONE, ApiError
from finetune_app.deployment.api.schemas import model_named, read_json, unavailable, wrong
from finetune_app.deployment.models import ApiKey

PACKAGED = "all-minilm-l6-v2"
MOST_TEXTS = 256  # what the engine takes at once
MOST_CHARACTERS = 20_000  # of one text; far more than it reads
FORMATS = ("float", "base64")


def model_name() -> str:
    """What programs call the embedder: its folder's name where EMBEDDER names one."""
    return Path(os.environ.get("EMBEDDER") or PACKAGED).name


@api("POST", action="embeddings")
async def embeddings(request: HttpRequest, key: ApiKey) -> JsonResponse:
    began, model, read = time.monotonic(), "", 0
    status, code = GONE, "gone"
    try:
        given = read_json(request.body)
        model = model_named(given)
        _find(key, model)
        texts, form = _texts(given.get("input")), _form(given)
        try:
            vectors, read = await engine_client.embed(texts)
        except engine_client.EngineUnavailable as problem:
            raise unavailable(problem) from problem
        status, code = 200, ""
    except ApiError as error:
        status, code = error.status, error.code
        raise
    except Exception:
        status, code = 500, "server_error"
        raise
    finally:
        await journal.keep(
            key=key,
            served=None,
            model=model,
            status=status,
            error=code,
            streamed=False,
            prompt_tokens=read,
            tokens=0,
            first_seconds=None,
            seconds=time.monotonic() - began,
        )
    data = [
        {"object": "embedding", "index": at, "embedding": _written(vector, form)}
        for at, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": read, "total_tokens": read}
    return JsonResponse({"object": "list", "data": data, "model": model, "usage": usage})


def _find(key: ApiKey, name: str) -> None:
    """A key for one deployment opens that alone."""
    if name != model_name() or key.deployment_id:
        raise ApiError(
            404,
            f"“{name[:80]}” makes no embeddings, or this key may not use it. “{model_name()}” "
            "does, for a key that opens the whole team.",
            code="model_not_found",
            param="model",
        )


def _texts(given: Any) -> list[str]:
    texts = given if isinstance(given, list) else [given]
    if any(isinstance(one, int | list) for one in texts):
        raise wrong("“input” must be text; token ids are not understood here.", "input")
    if not texts or not all(isinstance(one, str) and one.strip() for one in texts):
        raise wrong("“input” must be a text, or a list of texts, none of them empty.", "input")
    if len(texts) > MOST_TEXTS:
        raise wrong(f"“input” may have at most {MOST_TEXTS} texts.", "input")
    if max(map(len, texts)) > MOST_CHARACTERS:
        raise wrong(f"A text may have at most {MOST_CHARACTERS:,} characters.", "input")
    return [one.encode(errors="replace").decode() for one in texts]


def _form(given: dict[str, Any]) -> str:
    if given.get("dimensions") is not None:
        raise wrong(
            "“dimensions” is not supported: this model's vectors have one size.", "dimensions"
        )
    form = given.get("encoding_format") or "float"
    if form not in FORMATS:
        raise wrong("“encoding_format” is float or base64.", "encoding_format")
    return str(form)


def _written(vector: list[float], form: str) -> list[float] | str:
    if form == "float":
        return vector
    return base64.b64encode(array("f", vector).tobytes()).decode()
