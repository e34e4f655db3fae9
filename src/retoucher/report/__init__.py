"""The HTML report of a run: one self-contained file that anybody can open."""

from retoucher.report.html import render_report
from retoucher.report.record import PictureReport, Recorder

__all__ = ["PictureReport", "Recorder", "render_report"]
