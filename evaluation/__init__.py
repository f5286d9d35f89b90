"""Metrics for text-to-video that stand alone: VBench 1.0's dimensions from the same backbones, weights and protocol.

video/       a file as frames, and the ways in which VBench samples, resizes and normalises them
backbones/   DINO, CLIP, MUSIQ, ViCLIP, UMT and RAFT, each read from the files that its authors published
metrics/     one file a dimension: a pure function and a `torchmetrics.Metric`
judge/       vision-language models that answer questions about frames, here or behind an address
suites/      benchmarks' prompts, from their own files, and how they name videos
weights/     what is needed, where it is looked for, under which licence
totals.py    quality, semantic and total score
A metric under VBench's bare name has VBench's backbone, weights and protocol; anything else has a suffix. A broken input or
missing weights give an error, never a number. Heavy libraries load where they are used.
"""
