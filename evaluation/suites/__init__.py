"""Benchmarks' prompts, read from their own files, and the names that they give to videos. Only VBench's list is bundled."""
