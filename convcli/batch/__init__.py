"""Many inputs: one list of units, made from words, and carried out on this machine or on others."""
