"""The forward pass of Llama-like models computed by OpenVINO, where it is installed.

decoder.py         continuous batching whose steps OpenVINO computes
forward.py         a step's tokens -> logits
infer_requests.py  the graph, compiled for what is to be computed
graph.py           a model's layers as an OpenVINO graph
weight_files.py    the model's weights in files, out of memory
adapters.py        the adapters of a step, as inputs of the graph
kv_cache.py        keys and values of all sequences, in blocks
"""

import sys

# `import openvino` would report to its makers, over the network, that it was imported. Where this
# package is missing it has a stub for it.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
