"""The vLLM backend: `vllm serve` in a child process, for machines with a CUDA card.

engine.py          the backend: requests in, text out; starts the child process again when it ends
server_process.py  the child process: its command line, its environment, its end
session_guard.py   ends the child process and all its descendants when we end, however we end
client.py          the HTTP requests that vLLM is sent, over a Unix socket
adapter_cache.py   which adapters vLLM has loaded; each is checked after each load
adapter_check.py   does vLLM answer with the adapter as PEFT does, or as the base model?
peft_reference.py  what PEFT computes, in a process of its own
"""
