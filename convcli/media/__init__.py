"""Files and pipes: what comes in as a Source and goes out through a Sink."""
