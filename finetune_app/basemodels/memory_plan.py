"""The memory of a training, part by part, from the real shapes of its model.

Plain arithmetic, for the pages and for the worker. It follows what the training really holds: the
optimizer's flat tensors (worker/training/optimizer.py), what each layer saves for the backward pass
(worker/training/llama_autograd.py, or a Hugging Face model in worker/training/steps.py), and logits
at learned positions only. What an unknown family saves is counted when a model is installed
(worker/training/memory_plan.py). docs/benchmarks/memory.md compares it with measurements.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_app.basemodels.job_messages import SavedTensors

NUMBER_BYTES = {"bf16": 2, "fp32": 4}
FAST_TYPES = ("llama", "qwen2", "mistral")  # worker/llama.py: our own forward pass, on a CPU
QUERY_KEY_NORMS = ("qwen3", "gemma3_text")
KNOWN_TYPES = (*FAST_TYPES, *QUERY_KEY_NORMS)  # whose layers are written down here
FOUR_NORMS = ("gemma3_text",)  # per layer, where others have two
NF4_BYTES = 0.5 + 1 / 64  # four bits, and a scale of one byte for each block of 64 weights
# Padded tokens of a micro-batch; halved when memory runs out. On a CPU more at once are no faster.
CARD_TOKENS = 4096
CPU_TOKENS = {"bf16": 2048, "fp32": 1024}
HEAD_CHUNK = 256  # positions whose logits exist at once (llama_autograd.py, lm_head.py)
CACHED_POSITIONS = 16  # of them in fp32 (llama_autograd.py)
MAX_SAVED_ATTENTION = 16 * 1024**2  # larger attention probabilities are recomputed, not saved
REPLAY_TOKENS, REPLAY_LEARNED = 65, 20  # of an everyday example, about and at most
FRAMEWORK_BYTES = 0.53e9  # Python, torch, transformers and PEFT, before the model
KERNEL_BYTES = 0.06e9  # loaded with the first step
ALLOCATOR_SHARE = 0.1  # of the activations: freed memory that does not fit what comes next
CARD_CONTEXT_BYTES = 0.6e9  # CUDA's own, on the card


@dataclass(frozen=True)
class ModelShape:
    """Dimensions of a model, as in its config.json.

    inner: width of the feed-forward part. saved: what a layer saves for the backward pass, by
    number format, where it was counted. Where only the first four are known, the others are derived
    from them.
    """

    parameters: float
    layers: int
    hidden: int
    vocabulary: int
    inner: int = 0
    heads: int = 0
    kv_heads: int = 0
    head_size: int = 0
    model_type: str = ""
    saved: Mapping[str, SavedTensors] = field(default_factory=dict)

    @classmethod
    def known(cls, parameters: float, dimensions: Mapping[str, Any]) -> "ModelShape":
        """From a stored shape, of which parts may be missing; zeros count as missing."""
        named = {
            name: value
            for name, value in dimensions.items()
            if name in cls.__dataclass_fields__ and value
        }
        least: dict[str, Any] = {"layers": 28, "hidden": 1536, "vocabulary": 128_000}
        shape = cls(**(least | named | {"parameters": parameters}))
        return shape if shape.heads and shape.inner else shape._derived()

    def _derived(self) -> "ModelShape":
        """Heads of 64, all with their own keys; the feed-forward part has the other weights."""
        embeddings = self.vocabulary * self.hidden
        layer = max(self.parameters - embeddings, 0) / max(self.layers, 1)
        inner = int(max(layer - 4 * self.hidden**2, 0) / (3 * max(self.hidden, 1)))
        heads = max(self.hidden // 64, 1)
        return ModelShape(
            self.parameters,
            self.layers,
            self.hidden,
            self.vocabulary,
            inner=inner or 4 * self.hidden,
            heads=heads,
            kv_heads=heads,
            head_size=self.hidden // heads,
            model_type=self.model_type,
            saved=self.saved,
        )

    @property
    def query(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_size

    @property
    def key(self) -> int:
        """Width of all key heads, and of all value heads."""
        return self.kv_heads * self.head_size

    @property
    def linear_layers(self) -> list[tuple[int, int]]:
        """(in, out) of a decoder layer's linear layers; each gets an adapter."""
        return [
            (self.hidden, self.query),
            (self.hidden, self.key),
            (self.hidden, self.key),
            (self.query, self.hidden),
            (self.hidden, self.inner),
            (self.hidden, self.inner),
            (self.inner, self.hidden),
        ]

    @property
    def linear_parameters(self) -> int:
        """In all linear layers but the LM head: what a token costs to compute."""
        return self.layers * sum(rows * columns for rows, columns in self.linear_layers)

    def adapter_parameters(self, rank: int) -> int:
        return self.layers * rank * sum(sum(sides) for sides in self.linear_layers)


@dataclass(frozen=True)
class TrainingSetup:
    """How it is trained. tuning: lora, qlora (the base model in 4 bits) or full."""

    number_format: str = "bf16"
    rank: int = 16
    tuning: str = "lora"
    on_card: bool = False
    gradient_checkpointing: bool = False
    replay_rows: int = 0
    """Most everyday examples of an update."""

    @property
    def number_bytes(self) -> int:
        return NUMBER_BYTES[self.number_format]

    def is_fast(self, shape: ModelShape) -> bool:
        """Whether our own forward pass computes it, which saves less."""
        return (
            shape.model_type in FAST_TYPES
            and self.tuning == "lora"
            and not self.on_card
            and not self.gradient_checkpointing
        )


@dataclass(frozen=True)
class LargestBatch:
    """The largest batch that is computed at once. tokens: without padding. longest: tokens of its
    longest row. learned: tokens with a loss."""

    rows: int
    longest: int
    tokens: int
    learned: int

    @property
    def padded(self) -> int:
        return self.rows * self.longest


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of each part at the peak of a step."""

    framework: float
    weights: float
    adapter: float
    optimizer: float
    activations: float
    logits: float
    working: float
    """Gradients and intermediate results of one layer."""

    @property
    def overhead(self) -> float:
        """Measured, not derived."""
        return KERNEL_BYTES + ALLOCATOR_SHARE * self.activations

    @property
    def model(self) -> float:
        """Without the framework: what the training adds to a process that is ready for it."""
        return self.total - self.framework

    @property
    def total(self) -> float:
        return (
            self.framework
            + self.weights
            + self.adapter
            + self.optimizer
            + self.activations
            + self.overhead
            + max(self.logits, self.working)
        )


def token_budget(number_format: str, on_card: bool) -> int:
    """Most tokens of a micro-batch with padding, as long as there is memory."""
    return CARD_TOKENS if on_card else CPU_TOKENS[number_format]


def memory_plan(shape: ModelShape, setup: TrainingSetup, batch: LargestBatch) -> MemoryPlan:
    """The plan of a training whose largest batch is `batch`."""
    trained = shape.parameters if setup.tuning == "full" else shape.adapter_parameters(setup.rank)
    if setup.is_fast(shape):
        batch = _with_replay(setup, batch)
    activations = _activations(shape, setup, batch)
    logits = _logits(shape, setup, batch.learned)
    if setup.is_fast(shape):
        logits += _targets(shape, setup)
    else:
        logits = max(logits, _replay_apart(shape, setup) - activations)
    return MemoryPlan(
        framework=CARD_CONTEXT_BYTES if setup.on_card else FRAMEWORK_BYTES,
        weights=_weights(shape, setup),
        adapter=setup.number_bytes * trained,
        # A gradient and two moments; in bf16 also its own gradient and fp32 master weights.
        optimizer=trained * (12 if setup.number_bytes == 4 else 12 + 4 + setup.number_bytes),
        activations=activations,
        logits=logits,
        working=_working(shape, setup, batch),
    )


def _weights(shape: ModelShape, setup: TrainingSetup) -> float:
    """Of the base model, which full fine-tuning keeps beside the weights that it trains."""
    if setup.tuning != "qlora":
        return setup.number_bytes * shape.parameters
    others = shape.parameters - shape.linear_parameters
    largest = max(rows * columns for rows, columns in shape.linear_layers)  # unpacked to compute
    packed = NF4_BYTES * shape.linear_parameters
    return packed + setup.number_bytes * (others + largest)


def _activations(shape: ModelShape, setup: TrainingSetup, batch: LargestBatch) -> float:
    """What all layers save for the backward pass."""
    if setup.is_fast(shape):
        return _fast_layers(shape, setup, batch)
    layer = _general_layer(shape, setup, batch)
    if not setup.gradient_checkpointing:
        return shape.layers * layer
    return shape.layers * setup.number_bytes * shape.hidden * batch.padded + layer


def _fast_layers(shape: ModelShape, setup: TrainingSetup, batch: LargestBatch) -> float:
    """As llama_autograd.py saves them. The last feed-forward part sees learned tokens only."""
    size, rank = setup.number_bytes, setup.rank
    attention = 4 + size * (shape.hidden + shape.query + 4 * rank)
    feed_forward = 4 + size * (shape.hidden + 2 * shape.inner + 3 * rank)
    grid = size * (shape.query + 2 * shape.key)  # queries, keys and values are padded
    probabilities = size * shape.heads * batch.padded * batch.longest
    saved = probabilities if probabilities <= MAX_SAVED_ATTENTION else 0
    # Adapters of fused layers are copied into one: A side by side, B block by block.
    fused_a = 5 * shape.hidden
    fused_b = 3 * (shape.query + 2 * shape.key) + 4 * shape.inner
    layer = batch.tokens * (attention + feed_forward) + batch.padded * grid + saved
    layer += size * rank * (fused_a + fused_b)
    return shape.layers * layer - (batch.tokens - batch.learned) * feed_forward


def _general_layer(shape: ModelShape, setup: TrainingSetup, batch: LargestBatch) -> float:
    """As a Hugging Face model with PEFT's adapters saves it."""
    if counted := shape.saved.get(setup.number_format):
        return batch.padded * (counted["token"] + counted["pair"] * batch.longest)
    size = setup.number_bytes
    norms = 4 if shape.model_type in FOUR_NORMS else 2
    token = norms * (4 * shape.hidden + 4) + 4 * shape.heads
    if shape.model_type in QUERY_KEY_NORMS:
        token += 4 * (shape.query + shape.key + shape.heads + shape.kv_heads)
    # A single key head is spread over the query heads without a copy.
    key_copies = 2 * (shape.key if shape.kv_heads == 1 else shape.query)
    token += size * (2 * shape.hidden + 2 * shape.query + key_copies + 4 * shape.inner)
    if setup.tuning == "full":
        token += size * norms * shape.hidden  # a trained norm also needs its input
    else:
        token += size * 7 * setup.rank
    return batch.padded * (token + size * batch.longest)  # and the mask of the attention


def _logits(shape: ModelShape, setup: TrainingSetup, learned: int) -> float:
    """Logits, their log-softmax and its gradient, in fp32. Our own layers keep the logits in the
    model's number format, and make the rest of a few positions at a time."""
    chunk = min(learned, HEAD_CHUNK)
    if setup.is_fast(shape):
        few = min(chunk, CACHED_POSITIONS)
        return shape.vocabulary * (setup.number_bytes * chunk + 12.0 * few)
    return 12.0 * shape.vocabulary * chunk


def _with_replay(setup: TrainingSetup, batch: LargestBatch) -> LargestBatch:
    """The batch with the everyday examples in it, where they are computed in the same parts."""
    rows = setup.replay_rows
    whole = LargestBatch(
        batch.rows + rows,
        max(batch.longest, REPLAY_TOKENS) if rows else batch.longest,
        batch.tokens + rows * REPLAY_TOKENS,
        batch.learned + rows * REPLAY_LEARNED,
    )
    most = token_budget(setup.number_format, setup.on_card)
    return batch if whole.padded > most else whole


def _replay_apart(shape: ModelShape, setup: TrainingSetup) -> float:
    """Activations and logits of the everyday examples as a batch of their own."""
    rows = setup.replay_rows
    if not rows:
        return 0.0
    learned = rows * REPLAY_LEARNED
    batch = LargestBatch(rows, REPLAY_TOKENS, rows * REPLAY_TOKENS, learned)
    logits = _targets(shape, setup) + _logits(shape, setup, learned)
    return _activations(shape, setup, batch) + logits


def _targets(shape: ModelShape, setup: TrainingSetup) -> float:
    """Of the everyday examples: probabilities of the whole vocabulary, and the logits they are
    made of."""
    return 8.0 * shape.vocabulary * setup.replay_rows * REPLAY_LEARNED


def _working(shape: ModelShape, setup: TrainingSetup, batch: LargestBatch) -> float:
    """The backward pass of one layer: about six tensors of its widest part, and the attention
    probabilities with their gradients where they exist at all."""
    token = setup.number_bytes * 6 * shape.inner + 8 * shape.hidden
    attention = 0.0
    if setup.is_fast(shape):
        attention = 3.0 * setup.number_bytes * shape.heads * batch.longest
    return batch.padded * (token + attention)
