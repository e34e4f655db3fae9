"""What a tool is told: what to make of the place, in words of the diagnosis and the prompt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retoucher.agents import ToolSpec
from retoucher.domain.diagnosis import BY_USER, Diagnosis, Evidence, Json
from retoucher.domain.plan import Preference
from retoucher.domain.taxonomy import taxonomy
from retoucher.planning.instructions import Wording, word

PAINTER = ToolSpec(name="p", version="1", kind="mask", summary="-", uses_prompt=True)
EDITOR = replace(PAINTER, kind="instruction")
FILLER = replace(PAINTER, uses_prompt=False)


def worded(
    category: str,
    description: str,
    *,
    prompt: str = "",
    spec: ToolSpec = PAINTER,
    severity: int = 3,
    evidence: tuple[Evidence, ...] = (),
    preference: Preference | None = None,
) -> Wording:
    diagnosis = Diagnosis(
        region_id="r1",
        category=category,
        severity=severity,
        description=description,
        confidence=0.9,
        evidence=evidence,
    )
    return word(diagnosis, prompt, spec, preference or Preference())


def test_a_hand_is_described_as_it_should_be() -> None:
    said = "The woman's left hand holding the cup has six fingers, two of them fused."
    made = worded("hand_finger_count", said)
    expected = "a natural left hand of the woman with five fingers holding the cup"
    assert made.instruction == expected
    assert made.params["strength"] == 1.0
    assert "extra fingers" in str(made.params["negative_prompt"])
    assert made.context_factor == 2.5


def test_the_prompt_says_what_the_diagnosis_does_not() -> None:
    made = worded(
        "hand_shape",
        "a melted hand",
        prompt="An oil painting of a man playing the violin, cinematic, a photo of Oilville",
    )
    assert made.instruction == (
        "a natural, well-formed hand playing the violin, oil painting, cinematic, photo"
    )


@pytest.mark.parametrize("category", list(taxonomy()))
def test_every_category_has_its_own_words_without_left_over_braces(category: str) -> None:
    for spec in (PAINTER, EDITOR, FILLER):
        made = worded(category, "", spec=spec)
        assert "without the " not in made.instruction or category.startswith("text")
        assert not set("{}") & set(made.instruction)
        assert "  " not in made.instruction
        assert ("strength" in made.params) is (spec is PAINTER)
        assert ("negative_prompt" in made.params) is spec.uses_prompt


def test_an_instruction_follower_is_asked_to_keep_the_rest() -> None:
    made = worded("limb_count", "the dancer has a third leg", spec=EDITOR)
    assert made.instruction == (
        "In the damaged place, show a natural body with the right number of legs of the dancer. "
        "Keep everything else exactly as it is."
    )


def test_what_a_thing_is_comes_from_the_description() -> None:
    made = worded("object_structure", "The bicycle wheel is bent into itself")
    assert made.instruction == "a correctly built bicycle wheel, whole and plausible"


def test_faces_keep_their_person_unless_told_otherwise() -> None:
    kept = worded("face_feature", "the eyes are uneven")
    assert kept.params["strength"] == 0.45
    assert "the same person" in kept.instruction
    free = worded("face_feature", "the eyes are uneven", preference=Preference(keep_identity=False))
    assert free.params["strength"] == 0.6
    assert "same person" not in free.instruction


def test_a_milder_defect_gives_up_less_of_the_picture() -> None:
    strengths = [
        float(str(worded("hand_shape", "", severity=severity).params["strength"]))
        for severity in (1, 2, 3)
    ]
    assert strengths == sorted(set(strengths))


def test_words_from_pictures_and_prompts_stay_words() -> None:
    nasty = 'the hand holding {seed} <b>"; rm -rf / {phrase} has six fingers'
    made = worded("hand_finger_count", nasty, prompt="holding {x} in her hand")
    assert not set('{}<>";/') & set(made.instruction)


def test_a_reasoner_may_write_the_instruction_itself() -> None:
    own = by("the model m", "a fist\n{seed} around the rope")
    made = worded("hand_shape", "a melted hand", evidence=(own,))
    assert (made.instruction, made.by) == ("a fist seed around the rope", "the model m")


def by(who: str, make: Json) -> Evidence:
    return Evidence(kind="repair_instruction", data={"make": make, "by": who})


@pytest.mark.parametrize(
    ("who", "instruction"),
    [("the model the user", 'lettering that reads "OPEN"'), (BY_USER, "a sign that says CLOSED")],
)
def test_known_lettering_counts_before_a_model_and_the_user_before_all(
    who: str, instruction: str
) -> None:
    intended = Evidence(kind="intended_text", data={"read": "OPNE", "intended": "OPEN"})
    written = by(who, "a sign that says CLOSED")
    made = worded("text_wrong", "the sign reads OPNE", evidence=(intended, written))
    assert made.instruction.startswith(instruction)
    assert made.by == (BY_USER if who == BY_USER else None)


@pytest.mark.parametrize("make", [None, 7, ["a fist"], {"x": "y"}, "", "  {} \n", "<>{};"])
def test_an_instruction_without_words_leaves_the_template(make: Json) -> None:
    made = worded("hand_shape", "a melted hand", evidence=(by("the model m", make),))
    assert made == worded("hand_shape", "a melted hand")


def test_a_written_instruction_is_short_and_names_no_file_or_tool() -> None:
    nasty = "a hand %checkpoint% <lora:evil:1> ${HOME} ../../etc/passwd|sh `id` " + "x " * 10_000
    made = worded("hand_shape", "a melted hand", evidence=(by("the model\x1b[2J m;rm", nasty),))
    assert len(made.instruction) < 700
    assert not set("%<>:$/|`{}") & set(made.instruction)
    assert made.by == "the model 2J m rm"
    assert made.params == worded("hand_shape", "a melted hand").params
