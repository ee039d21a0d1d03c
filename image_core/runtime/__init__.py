"""Memory, fair scheduling and threads: what all requests of one process share."""
