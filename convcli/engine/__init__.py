"""From FILTER and a signal to a plan, and the loop that carries it out."""
