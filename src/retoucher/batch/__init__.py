"""Whole folders: a shell over `api` with worker processes, a journal, and summaries."""
