"""The networks that look at frames and read prompts; each loads at its first use and may be shared by several metrics."""
