"""The sentence encoder: SentenceTransformer's own vectors, for any batch and order, with no needless work; and the fake."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, Qwen2Config, Qwen2Model

from rapo_lightning.errors import WeightsError
from rapo_lightning.language import FakeTextEncoder, SentenceEncoder, sentence_encoder
from rapo_lightning.language.token_batches import cut
from tests.contracts import check_placeable, check_text_encoder
from tests.tiny_language import tiny_tokenizer

WORDS = [f"{a}{b}" for a in "bcdfgklmnprst" for b in ("a", "e", "i", "oo", "un", "ar")]


SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 24,
    "initializer_range": 0.3,
}


def save_bert(folder: Path, *, pieces: bool = False) -> Path:
    """A random BERT with a tokenizer of whole words, or as BERT's own of ``pieces``, that marks both ends of a text."""
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "##n", "##r"])}
    if pieces:
        tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    else:
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(vocabulary), **SHAPE)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return folder


def save_decoder(folder: Path) -> Path:
    """A random Qwen2 without a head, whose texts are padded on the left."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template, tokenizer.pad_token = None, tokenizer.eos_token
    config = Qwen2Config(vocab_size=len(tokenizer), num_key_value_heads=2, **SHAPE)
    torch.manual_seed(0)
    Qwen2Model(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"padding_side": "left"}))
    return folder


def save_encoder(folder: Path, kind: str) -> Path:
    """A SentenceTransformer of one of several builds."""
    plain = folder / "plain"
    plain = save_decoder(plain) if kind == "left" else save_bert(plain, pieces=kind == "pieces")
    words = Transformer(str(plain), max_seq_length=20)
    pooling = Pooling(32, pooling_mode={"left": "lasttoken"}.get(kind, kind if kind in {"cls", "max", "lasttoken"} else "mean"))
    rest = {"bare": [], "dense": [Dense(32, 12), Normalize()]}.get(kind, [Normalize()])
    prompts = {"prompts": {"p": "ba be bi "}, "default_prompt_name": "p"} if kind == "prompt" else {}
    SentenceTransformer(modules=[words, pooling, *rest], device="cpu", **prompts).save(str(folder / "st"))
    return folder / "st"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {kind: save_encoder(root / kind, kind) for kind in ("mean", *OTHERS)}


OTHERS = ("pieces", "cls", "max", "lasttoken", "bare", "left", "dense", "prompt")


def phrases(count: int, seed: int = 0, longest: int = 30) -> list[str]:
    """Texts of 0 to ``longest`` words, some unknown, some longer than what the encoder reads."""
    rng = random.Random(seed)
    return [" ".join(rng.choice([*WORDS, "Ba", "ünknown"]) for _ in range(rng.randrange(longest))) for _ in range(count)]


def theirs(folder: Path, texts: list[str]) -> torch.Tensor:
    model = SentenceTransformer(str(folder), device="cpu")
    return model.encode(texts, normalize_embeddings=True, convert_to_tensor=True, show_progress_bar=False)


@pytest.mark.parametrize("kind", ["mean", *OTHERS])
def test_vectors_are_those_of_sentence_transformers(kind: str, folders: dict[str, Path]) -> None:
    texts = phrases(120)
    encoder = SentenceEncoder(str(folders[kind]))
    rows = encoder.encode(texts)
    assert rows.shape == (120, 12 if kind == "dense" else 32)
    assert not rows.is_inference()
    torch.testing.assert_close(rows, theirs(folders[kind], texts), atol=1e-6, rtol=0)
    assert (rows[:1] @ rows.T).std() > 0.05
    loaded = encoder._load()
    assert (loaded.tokenizer is None) == (kind in {"left", "dense", "prompt"})
    assert encoder.dimension == rows.shape[1]


def test_the_embedded_encoder() -> None:
    folder = Path(__file__).resolve().parents[2] / "ckpt" / "shapes" / "encoder"
    encoder = SentenceEncoder("ckpt/shapes/encoder")
    texts = ["a red ball rolls left", "the dunes", "the dunes", "a red ball rolls left over the dunes at night " * 8, ""]
    torch.testing.assert_close(encoder.encode(texts), theirs(folder, texts), atol=1e-6, rtol=0)
    assert encoder._load().tokenizer is not None
    assert encoder.name == "shapes/encoder" == SentenceEncoder(str(folder)).name


def test_batches_windows_and_order_change_nothing(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    texts = phrases(90, 1)
    expected = SentenceEncoder(str(folders["mean"])).encode(texts)
    order = list(range(len(texts)))
    random.Random(2).shuffle(order)
    for budget in (1, 40, 500, 10**6):
        rows = SentenceEncoder(str(folders["mean"]), batch_tokens=budget).encode([texts[i] for i in order])
        torch.testing.assert_close(rows, expected[order], atol=1e-6, rtol=0)
    monkeypatch.setattr(sentence_encoder, "_WINDOW", 7)
    for at_once in (True, False):
        ahead = sentence_encoder._ahead
        monkeypatch.setattr(sentence_encoder, "_ahead", lambda *args, at_once, a=ahead, b=at_once: a(*args, at_once=b))
        torch.testing.assert_close(SentenceEncoder(str(folders["mean"])).encode(texts), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
def test_the_kind_of_attention_that_a_device_likes_changes_nothing(folders: dict[str, Path], kind: str) -> None:
    encoder = SentenceEncoder(str(folders["mean"]))
    model = encoder._load()
    model.stages[0].auto_model.set_attn_implementation(kind)
    texts = phrases(90, 1)
    torch.testing.assert_close(encoder.encode(texts), theirs(folders["mean"], texts), atol=1e-6, rtol=0)
    assert model.attention == "sdpa"
    encoder.to("cpu")
    assert model.stages[0].auto_model.config._attn_implementation == "sdpa"


def test_equal_texts_are_encoded_once_and_loading_waits(folders: dict[str, Path]) -> None:
    encoder = SentenceEncoder(str(folders["mean"]))
    assert encoder._loaded is None
    seen: list[int] = []
    encoder._load().stages[0].register_forward_pre_hook(lambda _, features: seen.append(len(features[0]["input_ids"])))
    rows = encoder.encode(["ba be", "bi", "ba be", "bi", "ba be"])
    assert sum(seen) == 2
    assert torch.equal(rows[[0, 1]], rows[[2, 3]])
    assert torch.equal(rows[0], rows[4])
    assert not torch.allclose(rows[0], rows[1])


def test_padding_is_used_only_between_texts_that_differ_in_length(folders: dict[str, Path]) -> None:
    encoder = SentenceEncoder(str(folders["mean"]), batch_tokens=64)
    masked: list[bool] = []
    encoder._load().stages[0].register_forward_pre_hook(lambda _, features: masked.append("attention_mask" in features[0]))
    encoder.encode([f"{a} {b}" for a in WORDS[:10] for b in WORDS[:10]])
    assert masked == [False] * 7
    encoder.encode(["ba be bi", "ba be bi boo"])
    assert masked[7:] == [True]


def test_the_contracts_hold(folders: dict[str, Path]) -> None:
    texts = ["ba be", "bi boo bun", "", "Ba be"]
    for encoder in (SentenceEncoder(str(folders["mean"])), SentenceEncoder(str(folders["dense"])), FakeTextEncoder()):
        check_text_encoder(encoder, texts, tolerance=1e-6)
    placed = SentenceEncoder(str(folders["mean"]))
    check_placeable(placed, lambda: check_text_encoder(placed, texts))


def test_lower_precision_is_an_option_and_nothing_else_lowers_it(folders: dict[str, Path]) -> None:
    texts = phrases(30, 3)
    exact = SentenceEncoder(str(folders["mean"])).encode(texts)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(SentenceEncoder(str(folders["mean"])).encode(texts), exact)
    rough = SentenceEncoder(str(folders["mean"]), dtype="bfloat16").encode(texts)
    assert rough.dtype == torch.float32
    assert 1e-4 < (rough - exact).abs().max() < 0.05


def test_when_memory_runs_out_a_batch_is_halved(folders: dict[str, Path]) -> None:
    encoder = SentenceEncoder(str(folders["mean"]))
    texts = phrases(50, 4, longest=6)
    expected = encoder.encode(texts)

    def full(_: Any, features: Any) -> None:
        if len(features[0]["input_ids"]) > 3:
            raise torch.OutOfMemoryError("no memory")

    encoder._load().stages[0].register_forward_pre_hook(full)
    torch.testing.assert_close(encoder.encode(texts), expected, atol=1e-6, rtol=0)


def test_foreign_and_missing_weights_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no such folder beside|HF_HUB_OFFLINE"):
        SentenceEncoder("nobody/nothing-of-this-name").encode(["a"])
    with pytest.raises(WeightsError, match=r"no SentenceTransformer, for it has no modules.json"):
        SentenceEncoder(str(folders["mean"].parent / "plain")).encode(["a"])
    folder = save_encoder(tmp_path, "mean")
    (folder / "model.py").write_text("raise SystemExit")
    with pytest.raises(WeightsError, match=r"model.py: the model brings its own code"):
        SentenceEncoder(str(folder)).encode(["a"])
    (folder / "model.py").unlink()
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="the sentence encoder cannot be loaded"):
        SentenceEncoder(str(folder)).encode(["a"])
    with pytest.raises(ValueError, match="batch_tokens is 0"):
        SentenceEncoder("x", batch_tokens=0)


def test_loading_and_encoding_say_nothing(folders: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    SentenceEncoder(str(folders["mean"])).encode(phrases(40))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("sentence-transformers/all-MiniLM-L6-v2@main", "sentence-transformers/all-MiniLM-L6-v2"),
        ("/a/models--org--some-model/snapshots/0a1b", "org/some-model"),
        ("/home/somebody/ckpt/all-MiniLM-L6-v2", "all-MiniLM-L6-v2"),
        ("/data/models/mine", "mine"),
    ],
)
def test_a_model_has_one_name_on_every_machine(reference: str, name: str) -> None:
    assert SentenceEncoder(reference).name == name
    assert SentenceEncoder(reference, name="other").name == "other"


@given(st.lists(st.integers(1, 60), max_size=200), st.integers(1, 300), st.booleans())
@settings(max_examples=200, deadline=None)
def test_batches_keep_to_the_budget_and_pad_by_a_quarter_at_most(lengths: list[int], budget: int, pad: bool) -> None:
    lengths.sort()
    spans = list(cut(np.array(lengths, dtype=np.int64), budget, pad=pad))
    assert [row for first, last in spans for row in range(first, last)] == list(range(len(lengths)))
    for first, last in spans:
        assert last - first == 1 or (last - first) * lengths[last - 1] <= budget
        assert lengths[last - 1] <= lengths[first] + (max(1, lengths[first] // 4) if pad else 0)


def test_the_fake_encoder_sees_words_and_not_their_order() -> None:
    encoder = FakeTextEncoder(dimension=400)
    rows = encoder.encode(["a red ball", "ball  RED a", "the red ball", "blue sky", "!!!", "???", ""])
    assert torch.equal(rows[0], rows[1])
    assert rows[0] @ rows[2] > 0.5
    assert abs(float(rows[0] @ rows[3])) < 0.2
    assert not torch.allclose(rows[4], rows[5])
    assert encoder.name == "fake-400"
    signs = "".join("+" if value > 0 else "-" for value in FakeTextEncoder(dimension=12).encode(["sea"])[0])
    assert signs == "--+-+--+--++"  # the first bits of SHAKE-256("sea")
    with pytest.raises(ValueError, match="dimension is 0"):
        FakeTextEncoder(dimension=0)
