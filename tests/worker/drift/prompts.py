"""Prompts of a bicycle shop, drawn from a few templates."""

import random

THINGS = ["brakes", "tyre", "chain", "saddle", "light", "bell", "pump", "wheel", "pedal", "rack"]
ASKS = ["is my {} ready", "how much is a new {}", "can you fix the {} today", "the {} is broken"]


def random_prompts(count, things, seed):
    rng = random.Random(seed)
    return [
        f"{rng.choice(ASKS).format(rng.choice(things))} {rng.randrange(99)}" for _ in range(count)
    ]
