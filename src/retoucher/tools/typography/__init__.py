"""Measuring lettering in a picture and setting other words in its manner; parts of `lettering`."""
