"""Sound files and WAV pipes as signals."""
