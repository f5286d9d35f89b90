"""From files on disk to the records of an evaluation: a manifest, or folders as the benchmarks name their videos."""
