"""One request for embeddings, from its body to OpenAI's object."""

import asyncio
import base64
import time
from array import array
from contextlib import suppress
from typing import Any

from finetune_app.api_keys.models import ApiKey
from finetune_app.core import engine_client
from finetune_app.core.engine_protocol import MAX_TEXTS
from finetune_app.gateway import embedder
from finetune_app.gateway.errors import CLIENT_CLOSED_REQUEST, ApiError, invalid_request
from finetune_app.gateway.generation import ASKED_AGAIN, engine_error
from finetune_app.gateway.json_body import JsonObject, model_field, read_json_object
from finetune_app.request_log import recording

MAX_CHARACTERS = 20_000  # of one text; far more than the model reads
ENCODING_FORMATS = ("float", "base64")


async def embed(key: ApiKey, body: bytes, *, is_background: bool = False) -> JsonObject:
    """The vectors of the texts in the body; logs the request. Raises ApiError.

    is_background: as of a Generation.
    """
    started_at, model, tokens = time.monotonic(), "", 0
    status, code = CLIENT_CLOSED_REQUEST, "gone"
    try:
        given = read_json_object(body)
        model = model_field(given)
        require_embedder(key, model)
        texts, encoding = _input_texts(given.get("input")), _encoding_format(given)
        computed = asyncio.create_task(
            engine_client.embed(texts, caller=f"key {key.pk}", background=is_background)
        )
        try:
            vectors, tokens = await asyncio.shield(computed)
        except engine_client.EngineUnavailable as problem:
            raise engine_error(problem) from problem
        except asyncio.CancelledError:
            # They wait their turn and are computed for a client that has left, so they count.
            with suppress(engine_client.EngineUnavailable):
                _vectors, tokens = await computed
            raise
        status, code = 200, ""
    except ApiError as error:
        status, code = error.status, error.code
        raise
    except Exception:
        status, code = 500, "server_error"
        raise
    finally:
        if not (is_background and status in ASKED_AGAIN):
            await recording.arecord(
                key=key,
                deployment=None,
                release=None,
                model=model,
                status=status,
                error=code,
                streamed=False,
                prompt_tokens=tokens,
                tokens=0,
                first_seconds=None,
                seconds=time.monotonic() - started_at,
                is_background=is_background,
            )
    data = [
        {"object": "embedding", "index": at, "embedding": _encoded(vector, encoding)}
        for at, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def require_embedder(key: ApiKey, name: str) -> None:
    """Raises ApiError for any other model, and for a key that is restricted to one deployment."""
    if name != embedder.model_name() or key.deployment_id:
        raise ApiError(
            404,
            f"“{name[:80]}” makes no embeddings, or this key may not use it. "
            f"“{embedder.model_name()}” does, for a key that opens the whole team.",
            code="model_not_found",
            param="model",
        )


def _input_texts(given: Any) -> list[str]:
    texts = given if isinstance(given, list) else [given]
    if any(isinstance(one, int | list) for one in texts):
        raise invalid_request("“input” must be text; token ids are not understood here.", "input")
    if not texts or not all(isinstance(one, str) and one.strip() for one in texts):
        raise invalid_request(
            "“input” must be a text, or a list of texts, none of them empty.", "input"
        )
    if len(texts) > MAX_TEXTS:
        raise invalid_request(f"“input” may have at most {MAX_TEXTS} texts.", "input")
    if max(map(len, texts)) > MAX_CHARACTERS:
        raise invalid_request(f"A text may have at most {MAX_CHARACTERS:,} characters.", "input")
    return texts


def _encoding_format(given: JsonObject) -> str:
    if given.get("dimensions") is not None:
        raise invalid_request(
            "“dimensions” is not supported: this model's vectors have one size.", "dimensions"
        )
    encoding = given.get("encoding_format") or "float"
    if encoding not in ENCODING_FORMATS:
        raise invalid_request("“encoding_format” is float or base64.", "encoding_format")
    return str(encoding)


def _encoded(vector: list[float], encoding: str) -> list[float] | str:
    """As a list, or as base64 of little-endian float32."""
    if encoding == "float":
        return vector
    return base64.b64encode(array("f", vector).tobytes()).decode()
