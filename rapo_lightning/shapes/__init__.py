"""The shapes world: coloured shapes that move over places, with captions, user prompts and an exact verifier.

It stands in for a video data set: the embedded stack in ``ckpt/shapes/`` is trained on it by the ``train_*`` scripts here,
with the same classes and configuration keys as the large models. Nothing outside this package knows that it exists, save
``rapo_lightning.quickstart``, which reports what the verifier finds.
"""
