"""One base model, many adapters, many requests at once.

requests.py   what is asked and what comes back (no torch)
model.py      load a base model in the number format that decodes faster here
adapters.py   LoRA adapters, several of them in one batch
proof.py      whether an adapter changes anything
cache.py      attention memory: one slot a row, each at its own length
decode.py     the decode loop: prefill, one step for everybody, rows come and go
llama.py      the layers of a Llama in as few operations as they take
weights.py    what its rows are multiplied with; the next three are for it
products.py   products with weights in the order that the processor reads fastest
stacks.py     all adapters of a batch as one pair of products
merging.py    an adapter that has the model to itself, merged into a copy of the weights
plain.py      the slower way, for architectures whose memory is not the standard one
vocabulary.py tokens as bytes, for the next two
forms.py      answers in the form of a JSON schema
telling.py    log-probabilities
stepper.py    which of these serves this model, proved by a probe when it loads
engine.py     the thread and the queue around it: what other code calls
serving.py    what the server asks of any engine: ours, or vLLM where there is a CUDA card
vllm/         a base model served by vLLM
house.py      which model is loaded, and by which of the two
library.py    search in documents: open indexes, one embedder
server.py     the same over HTTP on a Unix socket, for the web application
"""
