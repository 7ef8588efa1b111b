"""Windows and weights whose reach is bounded by times."""
