"""What all requests of one process share: memory, fair scheduling, threads, logging and shutdown."""
