"""Judges: language models that look at a video, what they are shown, how they are asked, and how a reply becomes a number."""
