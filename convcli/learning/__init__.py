"""Learning filters and networks from examples."""
