"""The picture of what a graph holds near a prompt: ``rapo graph show``."""

from rapo_lightning.retrieval.pictures.page import ModifierView, SceneView, page, picture, view, write

__all__ = ["ModifierView", "SceneView", "page", "picture", "view", "write"]
