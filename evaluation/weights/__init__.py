"""Weights: which are needed, where they are looked for, and how they are read; nothing is ever downloaded or made up."""
