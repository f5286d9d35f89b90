"""Whether two encoders are one: by the vector of a probe sentence where a graph has it, else by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rapo_lightning.errors import InputError
from rapo_lightning.protocols import TextEncoder

__all__ = ["check_encoder", "encoder_name", "probe", "same_encoder"]

_PROBE = "a person walks along a river at dusk"
_ALIKE = 1e-2  # how far numbers of the probe's vectors may lie apart: half precision, another device


def encoder_name(encoder: TextEncoder) -> str:
    """What an encoder is called: its own name where it has one, else its class."""
    return str(getattr(encoder, "name", "") or type(encoder).__name__)


def probe(encoder: TextEncoder) -> tuple[float, ...]:
    """An encoder's vector of the probe sentence, to six digits."""
    return tuple(round(value, 6) for value in encoder.encode([_PROBE])[0].tolist())


def same_encoder(one: str, other: str) -> bool:
    """Whether two names mean one encoder: equal but for case, or one is the other's last part (``org/name`` and ``name``)."""
    one, other = one.casefold(), other.casefold()
    return one == other or (("/" not in one or "/" not in other) and one.rpartition("/")[2] == other.rpartition("/")[2])


def check_encoder(encoder: TextEncoder, *, graph: str, name: str, known: Sequence[float], dimension: int) -> None:
    """Refuse an encoder whose vectors cannot be compared with a graph's: by its vector of the probe, else by its name.

    Args:
        encoder: the one at hand.
        graph: what the graph is called in the message.
        name: of the encoder that made it.
        known: its `probe`; empty where it is not known: then the names must agree, if the encoder at hand has one.
        dimension: of its vectors.

    Raises:
        InputError: another dimension, or other vectors; names both encoders.
    """
    made = f"{graph}: made with the encoder {name} ({dimension} dimensions)"
    if not known:
        if hasattr(encoder, "name") and not same_encoder(encoder_name(encoder), name):
            raise InputError(f"{made}, not with {encoder_name(encoder)}")
        return
    found = np.array(probe(encoder))
    given = f"{encoder_name(encoder)} ({len(found)} dimensions)"
    if len(found) != dimension:
        raise InputError(f"{made}, not with {given}")
    if not float(np.abs(found - np.array(known)).max()) <= _ALIKE:
        raise InputError(f"{made}; {given} gives other vectors")
