"""The published form of a relation graph, ``graph_data``: ten JSON files and two GraphML files, read and written exactly."""

from rapo_lightning.retrieval.graph_data.folder import read_published, write_published

__all__ = ["read_published", "write_published"]
