"""A base model served by vLLM, for machines with a CUDA card; to the house it is an engine like
our own.

engine.py     the thread around it: requests in, pieces of text out
child.py      `vllm serve` as a child: started, watched, started again, ended
guard.py      ends that child and all of its own when we go, however we go
client.py     the five requests that vLLM is sent, on its Unix socket
shelf.py      which adapters it has loaded; each is proved after each load
proof.py      does it answer with the adapter, as PEFT does, or as the base?
reference.py  what PEFT says, in a process of its own
"""
