"""Pictures as signals: streams of rows."""
