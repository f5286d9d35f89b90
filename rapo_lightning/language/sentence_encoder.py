"""Sentence embeddings by a SentenceTransformer: all-MiniLM-L6-v2 (the paper's encoder) and its like.

SentenceEncoder(model="sentence-transformers/all-MiniLM-L6-v2").encode(["a calm sea", "waves at dusk"])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, final

from rapo_lightning.language.attention import for_any_length
from rapo_lightning.language.sentence_model import SentenceModel, encoder_name, load_sentence_model
from rapo_lightning.language.token_batches import TokenBatches, moved
from rapo_lightning.retrieval.exact import full_precision
from rapo_lightning.types import ModelReference

if TYPE_CHECKING:
    import torch

__all__ = ["SentenceEncoder"]

#: Tokens a batch: on a CPU what its cache holds, elsewhere what keeps it busy.
_BATCH_TOKENS = {"cpu": 1024}
_MANY_TOKENS = 65_536
#: Texts that are tokenised at once, while the device works on those before. Fewer at first, as it waits for these; but a window
#: has a batch for each length, whose launches take as long for few texts as for many.
_FIRST_WINDOW, _WINDOW = 32_768, 65_536
#: Bytes of results that are pinned; of more, each window is waited for.
_PINNED = 2**30
#: Texts for which launches are all that counts, so that few padded batches are better than one for each length.
_FEW = 4096


@final
class SentenceEncoder:
    """A `TextEncoder` with weights from a local folder or the hub; safetensors only, and no code of theirs is run.

    Args:
        model: a SentenceTransformer.
        batch_tokens: the most tokens of a batch, padding included; None: 1,024 on a CPU, 65,536 elsewhere.
        dtype: ``float32`` is exact: the vectors of ``SentenceTransformer.encode(..., normalize_embeddings=True)`` to 1e-6, for
            any batch and order. ``bfloat16`` is **inexact** (about 3e-3: other modifiers may be retrieved) and faster.
        name: what a graph calls this encoder; taken from ``model`` when there is none.

    Equal texts are encoded once. Where the model is a transformer, a pooling and perhaps a normalisation, these run on sorted
    batches of tokens; any other model encodes as sentence-transformers does.
    """

    def __init__(
        self,
        model: ModelReference,
        *,
        batch_tokens: int | None = None,
        dtype: Literal["float32", "bfloat16"] = "float32",
        name: str | None = None,
    ) -> None:
        if batch_tokens is not None and batch_tokens < 1:
            raise ValueError(f"batch_tokens is {batch_tokens}; it must be at least 1")
        self._model_reference = model
        self._batch_tokens = batch_tokens
        self._dtype = dtype
        self.name = name or encoder_name(model)
        self._device: torch.device | str = "cpu"
        self._loaded: SentenceModel | None = None

    @property
    def dimension(self) -> int:
        """Length of an embedding. Loads the model."""
        return self._load().dimension

    def to(self, device: torch.device | str) -> SentenceEncoder:
        """Use this device from now on; weights already loaded move there."""
        self._device = device
        if self._loaded is not None:
            self._loaded.model.to(device)
            self._choose_attention(self._loaded)
        return self

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """L2-normalised float32 embeddings (N, D), on the CPU whatever device computes."""
        import torch

        loaded = self._load()
        unique = list(dict.fromkeys(texts))
        # Copies to pinned memory need not be waited for, and copies from it to a device again are ten times as fast.
        pinned = torch.device(self._device).type == "cuda" and 4 * len(unique) * loaded.dimension <= _PINNED
        rows = torch.empty(len(unique), loaded.dimension, pin_memory=pinned)
        with torch.inference_mode(), full_precision(self._device), for_any_length():
            if unique:
                self._encode(loaded, unique, rows)
        if len(unique) < len(texts):
            place = {text: row for row, text in enumerate(unique)}
            rows = rows[torch.tensor([place[text] for text in texts])]
        return rows

    def _encode(self, loaded: SentenceModel, texts: list[str], out: torch.Tensor) -> None:
        import torch

        device = torch.device(self._device)
        budget = self._batch_tokens or _BATCH_TOKENS.get(device.type, _MANY_TOKENS)
        if loaded.tokenizer is None:
            size = max(1, budget // 16)
            rows = loaded.model.encode(texts, batch_size=size, convert_to_tensor=True, show_progress_bar=False)
            out.copy_(torch.nn.functional.normalize(rows.float(), dim=1))
            return
        tokenise = loaded.tokenizer.tokenise
        windows = list(_windows(len(texts)))
        # A mask is looked at here, and the device would run dry meanwhile; of few texts it is done before the next are launched.
        pad = device.type != "cuda" or len(texts) <= _FEW
        coming = _ahead(lambda window: tokenise(texts[window], budget, pad=pad), windows, at_once=device.type == "cpu")
        for window, batches in zip(windows, coming, strict=True):
            part = torch.empty(len(batches.places), loaded.dimension, device=device)
            for rows, features in batches.features(device):
                _run(loaded.stages, features, part[rows])
            out[window].copy_(part.index_select(0, moved(batches.places, device)), non_blocking=True)
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()

    def _load(self) -> SentenceModel:
        if self._loaded is None:
            self._loaded = load_sentence_model(self._model_reference, self._device, self._dtype)
            self._choose_attention(self._loaded)
        return self._loaded

    def _choose_attention(self, loaded: SentenceModel) -> None:
        """CUDA's fused attention in float32 works on tiles of 64 tokens: for phrases of ten, products one by one are faster."""
        import torch

        if loaded.attention is not None:
            plain = torch.device(self._device).type == "cuda" and self._dtype == "float32"
            loaded.stages[0].auto_model.set_attn_implementation("eager" if plain else loaded.attention)


def _run(stages: Sequence[Any], features: dict[str, torch.Tensor], out: torch.Tensor) -> None:
    """Embeds one batch into ``out`` (B, D); when memory runs out, its halves."""
    import torch

    try:
        found: dict[str, Any] = dict(features)
        for stage in stages:
            found = stage(found)
        out.copy_(torch.nn.functional.normalize(found["sentence_embedding"].float(), dim=1))
    except torch.OutOfMemoryError:
        half = len(out) // 2
        if not half:
            raise
        for some in (slice(None, half), slice(half, None)):
            _run(stages, {name: values[some] for name, values in features.items()}, out[some])


def _windows(count: int) -> Iterator[slice]:
    """Each twice as large as the one before, up to `_WINDOW`."""
    first, size = 0, min(_FIRST_WINDOW, _WINDOW)
    while first < count:
        yield slice(first, first + size)
        first, size = first + size, min(_WINDOW, 2 * size)


def _ahead(work: Callable[[slice], TokenBatches], items: Iterable[slice], *, at_once: bool) -> Iterator[TokenBatches]:
    """The work's results in order, each begun while the one before is in use; ``at_once``: without a thread of its own."""
    if at_once:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for item in items:
            coming = pool.submit(work, item)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()
