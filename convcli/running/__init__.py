"""The loop that carries out a plan: streams, jobs, worker threads, and the door for arrays."""
