"""The loop that carries out a plan: streams, jobs and worker threads, and `convcli.apply`."""
