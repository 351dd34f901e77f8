"""Several streams of OpenVINO GenAI at once, in an environment of its own.

    python openvino_streams.py GGUF_FILE

Needs `pip install openvino-genai`; no part of Finetune. Reads {id, prompt (token ids), tokens} as
JSON lines on standard input; writes {id, first: true} with the first token of each and {id,
tokens} at its end.
"""

import json
import queue
import sys
import threading

import numpy as np
import openvino
import openvino_genai


def main(gguf: str) -> None:
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.max_num_seqs = 64
    scheduler.cache_size = 1
    scheduler.enable_prefix_caching = True  # as the engine does
    pipeline = openvino_genai.ContinuousBatchingPipeline(gguf, scheduler, "CPU")
    asked: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=listen, args=(asked,), daemon=True).start()
    say({"ready": True})
    running: dict = {}
    while True:
        while not asked.empty() or not running:
            one = asked.get()
            if one is None:
                return
            config = openvino_genai.GenerationConfig(max_new_tokens=one["tokens"])
            prompt = openvino.Tensor(np.array([one["prompt"]], dtype=np.int64))
            running[one["id"]] = [pipeline.add_request(one["id"], prompt, config), 0]
        pipeline.step()
        for id, (handle, written) in list(running.items()):
            new = 0
            while handle.can_read():
                new += sum(len(part.generated_ids) for part in handle.read().values())
            if new and not written:
                say({"id": id, "first": True})
            running[id][1] += new
            if handle.get_status() != openvino_genai.GenerationStatus.RUNNING:
                say({"id": id, "tokens": running.pop(id)[1]})


def listen(asked: queue.SimpleQueue) -> None:
    for line in sys.stdin:
        asked.put(json.loads(line))
    asked.put(None)


def say(event: dict) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
