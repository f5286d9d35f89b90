"""The dimensions, one a file: a pure function and a metric that keeps a row a video."""
