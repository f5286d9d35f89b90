"""The comparison of a run's arms (``comparison.json``), checked, for the table at the top of a report."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rapo_lightning import records
from rapo_lightning.errors import RecordError

__all__ = ["Arm", "Comparison", "WorstCase", "read_comparison"]


class Arm(BaseModel):
    """One way to write prompts, e.g. best-of-N, and how its videos did.

    ``right`` is the share of videos that show all they should, ``low`` and ``high`` its 95 % interval; ``difference`` that to the
    first arm, with its interval; ``judge`` the share that the judge of the loop calls right and ``kappa`` how well it agrees.
    Shares and differences are fractions of 1; None: not measured.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    videos_per_prompt: float | None = None
    right: float | None = None
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    judge: float | str | None = None
    kappa: float | None = None
    by_attribute: dict[str, float | None] = Field(default_factory=dict)


class WorstCase(BaseModel):
    """A prompt that came out badly, and why."""

    model_config = ConfigDict(frozen=True)

    prompt: str
    why: str = ""


class Comparison(BaseModel):
    """The arms of a comparison, the baseline first; ``note`` says what the figures hold for."""

    model_config = ConfigDict(frozen=True)

    title: str = "Comparison"
    note: str = ""
    arms: list[Arm] = Field(default_factory=list)
    worst: list[WorstCase] = Field(default_factory=list)

    @property
    def attributes(self) -> list[str]:
        """The attributes of all arms, in the order in which they first appear."""
        return list(dict.fromkeys(name for arm in self.arms for name in arm.by_attribute))


def read_comparison(folder: Path) -> Comparison | None:
    """The comparison of a run folder; None when it has none. One that cannot be read raises `RecordError`."""
    path = folder / "comparison.json"
    try:
        return Comparison.model_validate(records.parse_json(path.read_bytes()))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RecordError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: {error}") from error
