"""The shipped networks at run time, without torch: where a picture looks distorted, and its hands.

A room beside `imaging` and `lettering`, because perceiver and reasoner never import each other and
yet look at the same picture with the same network.
"""
