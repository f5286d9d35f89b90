"""Captions files, and the phrases that stand in them or are extracted by a language model."""

from rapo_lightning.retrieval.captions.extract import Progress, extract
from rapo_lightning.retrieval.captions.ingest import CaptionFile, open_captions
from rapo_lightning.retrieval.captions.rows import Skipped
from rapo_lightning.retrieval.captions.skip_record import SkipRecord

__all__ = ["CaptionFile", "Progress", "SkipRecord", "Skipped", "extract", "open_captions"]
