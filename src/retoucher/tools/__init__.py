"""Repair tools, one module per back end."""
