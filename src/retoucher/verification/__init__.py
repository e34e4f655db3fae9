"""Verifiers: did it get better, and did anything else get worse?"""
