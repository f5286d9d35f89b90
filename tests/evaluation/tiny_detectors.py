"""Tiny detectors and captioners with random weights, saved as the real ones are on the hub: classes, files, tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.evaluation.tiny import random_state

__all__ = ["blip_folder", "florence2_folder", "grounding_dino_folder", "owlv2_folder", "videomae_folder"]

LETTERS = "abcdefghijklmnopqrstuvwxyz"
#: Of the three tasks, as byte pairs spell them.
TASK_WORDS = [
    "Ġthe", "Ġobjects", "Ġwith", "Ġcategory", "Ġname", "Ġin", "Ġimage", "Ġtheir", "Ġdescriptions", "Ġdetail", "Ġwhat", "Ġshown",
]  # fmt: skip


def florence2_folder(folder: Path, seed: int = 1, side: int = 32) -> Path:
    """As florence-community/Florence-2-large: byte pairs, 1000 places, a picture of side x side."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import BartConfig, Florence2Config, Florence2ForConditionalGeneration, Florence2VisionConfig

    words = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges: list[tuple[str, str]] = []
    for word in TASK_WORDS:  # each becomes one token, letter by letter, with the space before it
        for end in range(1, len(word)):
            if word[: end + 1] not in words:
                merges.append((word[:end], word[end]))
                words.append(word[: end + 1])
    tokenizer = Tokenizer(models.BPE({word: n for n, word in enumerate(words)}, merges, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.add_tokens([*(f"<loc_{place}>" for place in range(1000)), "<od>", "</od>", "<image>"])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    size = {"height": side, "width": side}
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": size, "do_resize": True}))
    text = BartConfig(
        vocab_size=tokenizer.get_vocab_size(), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=40,
    )  # fmt: skip
    vision = Florence2VisionConfig(
        depths=[1, 1], patch_size=[7, 3], patch_stride=[4, 2], patch_padding=[3, 1], patch_prenorm=[False, True],
        embed_dim=[16, 32], num_heads=[2, 2], num_groups=[2, 2], window_size=4, projection_dim=32,
        max_temporal_embeddings=8, max_position_embeddings=20,
    )  # fmt: skip
    config = Florence2Config(
        text_config=text.to_dict(), vision_config=vision.to_dict(), image_token_id=tokenizer.token_to_id("<image>")
    )
    model: Any = random_state(Florence2ForConditionalGeneration(config), seed)
    model.generation_config.no_repeat_ngram_size = 3
    model.save_pretrained(folder)
    return folder


def grounding_dino_folder(folder: Path, seed: int = 2) -> Path:
    """As IDEA-Research/grounding-dino-base: BERT's words at BERT's numbers, pictures of 64 to 100 pixels a side."""
    from transformers import BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

    fixed = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    _bert_words(folder, fixed, 1100)
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": {"shortest_edge": 64, "longest_edge": 100}}))
    backbone = SwinConfig(embed_dim=8, depths=[1, 1, 1], num_heads=[1, 1, 1], window_size=4, out_indices=[2, 3], image_size=64)
    text = BertConfig(
        vocab_size=1100, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=backbone.to_dict(), text_config=text.to_dict(), d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2, num_queries=12,
        num_feature_levels=3, max_text_len=32,
    )  # fmt: skip
    model: Any = GroundingDinoForObjectDetection(config)
    model = random_state(model, seed)
    model.model.text_projection.weight.data *= 0.3  # probabilities that are not all 0 or 1
    model.save_pretrained(folder)
    return folder


def owlv2_folder(folder: Path, seed: int = 5) -> Path:
    """As google/owlv2-base-patch16-ensemble: CLIP's tokenizer, texts of 64 tokens, a picture of 96 x 96."""
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    from tests.evaluation.tiny import clip_folder

    clip_folder(folder)  # for its tokenizer
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**tower, "vocab_size": 516, "max_position_embeddings": 64, "bos_token_id": 514, "eos_token_id": 515}
    vision = {**tower, "image_size": 96, "patch_size": 16}
    model: Any = random_state(
        Owlv2ForObjectDetection(Owlv2Config(text_config=text, vision_config=vision, projection_dim=32)), seed
    )
    model.save_pretrained(folder)
    return folder


def blip_folder(folder: Path, seed: int = 1) -> Path:
    """As Salesforce/blip-image-captioning-large: BERT's words and one token more that opens a caption."""
    from transformers import BlipConfig, BlipForConditionalGeneration

    _bert_words(folder, {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}, 160)
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**tower, "vocab_size": 162, "encoder_hidden_size": 32, "max_position_embeddings": 24, "bos_token_id": 160,
            "sep_token_id": 102, "pad_token_id": 0, "eos_token_id": 2}  # fmt: skip
    config = BlipConfig(text_config=text, vision_config={**tower, "image_size": 32, "patch_size": 16}, projection_dim=32)
    model: Any = random_state(BlipForConditionalGeneration(config), seed)
    words = model.text_decoder.bert
    words.embeddings.position_embeddings.weight.data *= 4
    words.encoder.layer[0].crossattention.self.value.weight.data *= 4  # captions that differ from frame to frame
    words.encoder.layer[0].crossattention.self.query.weight.data *= 4
    model.save_pretrained(folder)
    return folder


def videomae_folder(folder: Path, labels: list[str], seed: int = 7) -> Path:
    """As MCG-NJU/videomae-large-finetuned-kinetics: 16 frames, two at a time, the mean of all tokens."""
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    config = VideoMAEConfig(
        image_size=32, patch_size=16, num_frames=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=48, use_mean_pooling=True, id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )  # fmt: skip
    model: Any = random_state(VideoMAEForVideoClassification(config), seed)
    model.classifier.weight.data *= 3
    model.save_pretrained(folder)
    return folder


def _bert_words(folder: Path, fixed: dict[int, str], count: int) -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    pieces = iter([*LETTERS, *(f"##{letter}" for letter in LETTERS), "cat", "dog"])
    words = [fixed.get(number) or next(pieces, f"word{number}") for number in range(count)]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)  # type: ignore[assignment]
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
    tokenizer.decoder = decoders.WordPiece()  # type: ignore[assignment]
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))  # type: ignore[assignment]
    tokenizer.add_special_tokens([word for word in fixed.values() if word.startswith("[")])
    tokenizer.enable_padding(length=40)  # as some folders have it; nothing may come of it
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
