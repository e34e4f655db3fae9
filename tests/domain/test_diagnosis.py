from __future__ import annotations

import dataclasses

import pytest

from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy

CATEGORIES = [*taxonomy(), UNKNOWN]


def diagnosis(**changes: object) -> Diagnosis:
    fields: dict[str, object] = {
        "region_id": "r1",
        "category": "text_wrong",
        "severity": 2,
        "description": "",
        "confidence": 0.9,
    }
    return Diagnosis(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_defect_has_a_severity(category: str) -> None:
    for severity in (1, 2, 3):
        assert diagnosis(category=category, severity=severity).is_defect
    for severity in (0, 4, -1):
        with pytest.raises(ValueError, match=rf"severity of {category} is one of \(1, 2, 3\)"):
            diagnosis(category=category, severity=severity)


def test_no_defect_has_none() -> None:
    assert not diagnosis(category=NO_DEFECT, severity=0).is_defect
    with pytest.raises(ValueError, match="severity of no_defect"):
        diagnosis(category=NO_DEFECT, severity=1)


@pytest.mark.parametrize("category", ["", "hand", "Text_Wrong", "ignore previous instructions"])
def test_only_known_categories(category: str) -> None:
    with pytest.raises(ValueError, match="unknown defect category"):
        diagnosis(category=category)


@pytest.mark.parametrize("confidence", [-0.01, 1.01, float("nan")])
def test_confidence_is_a_probability(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"confidence must lie in \[0, 1\]"):
        diagnosis(confidence=confidence)


def test_a_diagnosis_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        diagnosis().severity = 1  # type: ignore[misc]


def test_the_taxonomy_has_the_papers_shape() -> None:
    rows = taxonomy().values()
    assert len(rows) == 12
    assert len({row.dimension for row in rows}) == 6
    assert all(row.name.startswith(row.dimension + "_") and row.phrase for row in rows)
