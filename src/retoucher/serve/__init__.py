"""The HTTP service: a shell over `api` with worker processes, jobs and limits."""
