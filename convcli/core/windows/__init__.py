"""Statistics of sliding windows."""
