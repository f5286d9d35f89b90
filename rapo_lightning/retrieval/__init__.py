"""Stage 1: a relation graph of the video model's training captions, retrieval from it, and the rewriting of a prompt with what
was found."""
