"""The commands that have a room of their own; `cli.py` puts them together."""
