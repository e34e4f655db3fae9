"""Lettering in pictures: reading it, knowing what it should say, judging whether it is right.

Shared by the text perceiver, the embedded reasoner, the lettering tool and the verifier, which
never import each other.
"""
