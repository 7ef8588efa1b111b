"""Tables as signals: numbers of the filtered columns change, every other byte stays as it was."""
