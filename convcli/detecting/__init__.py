"""Finding where a template occurs in a signal."""
