"""Stage 3 and the training data of Stage 1's models."""
