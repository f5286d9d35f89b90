"""What the backbones are made of: file, source, place in VBench's cache, licence."""

from __future__ import annotations

from evaluation.weights import proxies, temporal
from evaluation.weights.entry import Weights

__all__ = ["WEIGHTS", "Weights"]

_USED = "OpenGVLab/VBench_Used_Models"

WEIGHTS = {
    weights.name: weights
    for weights in (
        Weights(
            name="dino_vitb16",
            file="dino_vitbase16_pretrain.pth",
            licence="Apache-2.0",
            source="https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
            hub="facebook/dino-vitb16",
            vbench="dino_model/dino_vitbase16_pretrain.pth",
        ),
        Weights(
            name="clip_b32",
            file="clip-vit-base-patch32",
            licence="MIT",
            source="https://huggingface.co/openai/clip-vit-base-patch32",
            hub="openai/clip-vit-base-patch32",
        ),
        Weights(
            name="clip_l14",
            file="clip-vit-large-patch14",
            licence="MIT",
            source="https://huggingface.co/openai/clip-vit-large-patch14",
            hub="openai/clip-vit-large-patch14",
        ),
        Weights(
            name="laion_head",
            file="sa_0_4_vit_l_14_linear.pth",
            licence="MIT (verify)",
            source="https://raw.githubusercontent.com/LAION-AI/aesthetic-predictor/main/sa_0_4_vit_l_14_linear.pth",
            vbench="aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth",
        ),
        Weights(
            name="musiq_spaq",
            file="musiq_spaq_ckpt-358bb6af.pth",
            licence="Apache-2.0 in origin, hosted by pyiqa (verify)",
            source="https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/musiq_spaq_ckpt-358bb6af.pth",
            vbench="pyiqa_model/musiq_spaq_ckpt-358bb6af.pth",
        ),
        Weights(
            name="viclip",
            file="ViClip-InternVid-10M-FLT.pth",
            licence="MIT, gated",
            source=f"https://huggingface.co/{_USED}",
            hub=_USED,
            hub_file="ViClip-InternVid-10M-FLT.pth",
            vbench="ViCLIP/ViClip-InternVid-10M-FLT.pth",
        ),
        Weights(
            name="umt_l16",
            file="l16_ptk710_ftk710_ftk400_f16_res224.pth",
            licence="no text found (verify)",
            source=f"https://huggingface.co/{_USED}",
            hub=_USED,
            hub_file="l16_ptk710_ftk710_ftk400_f16_res224.pth",
            vbench="umt_model/l16_ptk710_ftk710_ftk400_f16_res224.pth",
        ),
        Weights(
            name="k400_labels",
            file="kinetics_400_categories.txt",
            licence="Apache-2.0",
            source="https://github.com/Vchitect/VBench/blob/master/vbench/third_party/umt/kinetics_400_categories.txt",
            vbench="umt_model/kinetics_400_categories.txt",
            bundled="suites/data/kinetics_400_categories.txt",
        ),
        Weights(
            name="raft",
            file="raft_large_C_T_V1-22a6c225.pth",
            licence="BSD-3-Clause",
            source="https://download.pytorch.org/models/raft_large_C_T_V1-22a6c225.pth",
        ),
        Weights(
            name="raft_things",
            file="raft-things.pth",
            licence="BSD-3-Clause",
            source="https://github.com/princeton-vl/RAFT",
            vbench="raft_model/models/raft-things.pth",
        ),
        *proxies.ENTRIES,
        *temporal.ENTRIES,
    )
}
