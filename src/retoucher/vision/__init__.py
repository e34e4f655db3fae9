"""The shipped network at run time, without torch: shared by perceiver and reasoner.

A room beside `imaging` and `lettering`, because the two never import each other and yet look at the
same picture with the same network.
"""
