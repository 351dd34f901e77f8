"""Inference: one base model in memory, many LoRA adapters, concurrent requests.

requests.py          request and completion types (no torch)
backend.py           the interface of a backend, and the handle of a submitted request (no torch)
engine.py            our own backend: the thread that owns the model, and its queue
vllm/                the vLLM backend, for machines with a CUDA card
backend_selector.py  which of the two serves a base model
model_manager.py     keeps one base model loaded and shares it between concurrent requests
retrieval.py         document search and embeddings
server.py            all of it over HTTP on a Unix socket, for the web application
batch_generation.py  run many requests at once inside a job, with its lease and its stop button

model_loader.py      loads a base model in the number format that decodes faster here
adapters.py          reads LoRA adapters; applies several of them in one batch
adapter_check.py     whether an adapter changes the model's output
sequences.py         state of one answer: its tokens, how the next one is selected, its text
growing_text.py      that text, without decoding all tokens again at each new one
sampling.py          selects the next token of every sequence of a batch
structured_output.py restricts an answer to a JSON schema, or its calls to their functions
answer_grammar.py    such a form as a grammar
logprobs.py          log-probabilities of the tokens
vocabulary.py        tokens as bytes, for the two above
kv_cache.py          keys and values of all sequences, one slot each
prefix_cache.py      prompt prefixes that several requests share, computed once

decoder.py           chooses a decoder for a model; a probe on load proves that it is correct
slot_decoder.py      continuous batching: prefill, one step for all sequences
chunked_decoder.py   the same for Llama-like models: prompts are read in chunks beside those steps
generate_decoder.py  transformers' `generate`, for architectures without a key-value cache
llama_forward.py     forward pass of Llama-like models in few operations
projections.py       the linear layers of that forward, with each sequence's adapter
packed_linear.py     linear layers with weights in oneDNN's memory layout
batched_lora.py      all adapters of a batch as one pair of matrix products
threads.py           how many threads compute, beside other programs
adapter_merging.py   merges an adapter that is used alone into a copy of the weights
memory.py            returns freed memory to the operating system
"""
