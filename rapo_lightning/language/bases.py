"""Base models in memory: a process loads each once, however many chat models use it, with adapters of their own or bare.

L, L_r and L_d of Stage 1 and a tuned rewriter may so be one base of 16 GB and some adapters of a few hundred MB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, final
from weakref import WeakValueDictionary

from rapo_lightning.language import adapter as lora

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

__all__ = ["Base", "shared_base"]


@final
class Base:
    """A causal model with the adapters that were attached to it so far; outside `using`, which of them is active is open.

    ``ends`` are the tokens that end an answer by the model's own configuration. The rest of that is dropped: its penalties, top-k
    and temperature would change what is asked for.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        from transformers import GenerationConfig

        configured = None if model.generation_config is None else model.generation_config.eos_token_id
        self.ends = frozenset({configured} if isinstance(configured, int) else configured or ())
        model.generation_config = GenerationConfig(do_sample=False, eos_token_id=sorted(self.ends) or None)
        self.model = model
        self._adapted: PeftModel | None = None
        self._names: dict[str, str] = {}

    def attach(self, folder: Path, reference: str) -> str:
        """The name of the adapter saved in ``folder``, which is attached if it is not yet; errors as of `adapter.load`.

        ``reference`` is the base's.
        """
        # With its time: an adapter that was trained anew in its place is another.
        place = f"{folder.resolve()} {(folder / 'adapter_config.json').stat().st_mtime_ns}"
        if place not in self._names:
            name = f"adapter_{len(self._names)}"
            self._adapted = lora.load(self.model, folder, base=reference, name=name, beside=self._adapted)
            self._names[place] = name
        return self._names[place]

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """While this lasts, the adapter of this name is active, no other; None: none is."""
        if self._adapted is None:
            yield
        elif name is None:
            with self._adapted.disable_adapter():
                yield
        else:
            self._adapted.set_adapter(name)
            yield


_BASES: WeakValueDictionary[tuple[str, str], Base] = WeakValueDictionary()


def shared_base(folder: Path, dtype: str, load: Callable[[], PreTrainedModel]) -> Base:
    """The base of a folder in a type, loaded if none who uses it is there."""
    place = (str(folder.resolve()), dtype)
    base = _BASES.get(place)
    if base is None:
        base = _BASES[place] = Base(load())
    return base
