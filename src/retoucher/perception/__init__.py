"""Perceivers: where a picture looks distorted."""
