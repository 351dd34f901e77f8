"""Continuous batching whose steps OpenVINO computes."""

from __future__ import annotations

from worker.engine.adapters import Adapters
from worker.engine.chunked_decoder import ChunkedDecoder
from worker.engine.model_loader import LoadedModel
from worker.engine.openvino.forward import OpenvinoForward


class OpenvinoDecoder(ChunkedDecoder):
    _forward: OpenvinoForward

    @staticmethod
    def make_forward(loaded: LoadedModel, adapters: Adapters) -> OpenvinoForward:
        return OpenvinoForward(loaded, adapters)

    def release_memory(self) -> None:
        self._forward.release_weights()  # transformers' layers have read them
        super().release_memory()
