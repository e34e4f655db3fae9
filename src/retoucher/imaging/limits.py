"""How large a picture may be. Checked from the header, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from retoucher.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Largest picture that is decoded.

    Attributes:
        max_pixels: width times height.
        max_side_px: the longer side.
        max_file_bytes: size of the file.
    """

    max_pixels: int = 200_000_000
    max_side_px: int = 29_999
    max_file_bytes: int = 2_000_000_000

    def check(self, width: int, height: int) -> None:
        """Reject a size that the file's header states.

        Raises:
            InputError: a side is zero, a side or the area is over its limit.
        """
        if width <= 0 or height <= 0:
            raise InputError(f"the picture has no pixels ({width}x{height})")
        if max(width, height) > self.max_side_px:
            raise InputError(
                f"{width}x{height} pixels: a side may have at most {self.max_side_px}; "
                "scale it down or cut it first"
            )
        if width * height > self.max_pixels:
            raise InputError(
                f"{width}x{height} pixels are {width * height / 1e6:.0f} million, at most "
                f"{self.max_pixels / 1e6:.0f} million are read; scale it down or cut it first"
            )
