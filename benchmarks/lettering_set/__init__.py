"""The lettering test set: pictures of right and wrong lettering with known truth.

Made at run time from a seed; never stored in the repository.
"""

from lettering_set.build import make_set
from lettering_set.truth import Sample, Unit

__all__ = ["Sample", "Unit", "make_set"]
