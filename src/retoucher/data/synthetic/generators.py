"""Every generator, by category."""

from __future__ import annotations

from retoucher.data.synthetic.faces import FACE_GENERATORS
from retoucher.data.synthetic.hands import HAND_GENERATORS
from retoucher.data.synthetic.interactions import INTERACTION_GENERATORS
from retoucher.data.synthetic.lettering import LETTERING_GENERATORS
from retoucher.data.synthetic.limbs import LIMB_GENERATORS
from retoucher.data.synthetic.objects import OBJECT_GENERATORS
from retoucher.data.synthetic.patch import Generator
from retoucher.data.synthetic.signs import SIGN_GENERATORS

GENERATORS: tuple[Generator, ...] = (
    *HAND_GENERATORS,
    *FACE_GENERATORS,
    *LIMB_GENERATORS,
    *LETTERING_GENERATORS,
    *SIGN_GENERATORS,
    *OBJECT_GENERATORS,
    *INTERACTION_GENERATORS,
)
