"""CSV and TSV as signals, every other byte as it was."""
