"""A video file as frames, and how frames are sampled, resized and normalised."""
