"""Inference: base models in memory, many LoRA adapters of each, concurrent requests.

requests.py          request and completion types (no torch)
backend.py           the interface of a backend, and the handle of a submitted request (no torch)
engine.py            our own backend: a model, its batch and its queue
compute_thread.py    where all models of the process compute, a step each in turn
vllm/                the vLLM backend, for machines with a CUDA card
backend_selector.py  which of the two serves a base model
model_manager.py     keeps base models loaded and shares them between concurrent requests
model_memory.py      whether another one fits into memory beside them
retrieval.py         document search and embeddings
request_queue.py     how many requests may wait, and who is rejected
fair_executor.py     the threads of document search and embeddings, in turns
server.py            all of it over HTTP, for the web application
listening.py         on a Unix socket or a network; how the process ends
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
kv_cache.py          keys and values of all sequences: what decoders ask of them; one slot each
prefix_cache.py      what prompts have in common with earlier ones, kept

decoder.py           chooses a decoder for a model; a probe on load proves that it is correct
slot_decoder.py      continuous batching: what the next two share
chunked_decoder.py   for Llama-like models: prompts are read in chunks, beside those who write
drafts.py            what the next tokens probably are, from what was written before
padded_decoder.py    for all others: prompts of similar length are read together
generate_decoder.py  transformers' `generate`, for architectures without a key-value cache
step.py              the tokens of one step of it, and what computes them
openvino/            OpenVINO computes them, where it is installed
llama_forward.py     else we: forward pass of Llama-like models in few operations
projections.py       the linear layers of that forward, with each sequence's adapter
int8_weights.py      weights rounded to 8 bits
packed_linear.py     linear layers with weights in oneDNN's memory layout
batched_lora.py      all adapters of a batch in a few matrix products
threads.py           how many threads compute, beside other programs
adapter_merging.py   merges an adapter that is used alone into a copy of the weights
memory.py            returns freed memory to the operating system
"""
