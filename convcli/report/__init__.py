"""The facts of a run as words, tables and pages; nothing is computed here."""
