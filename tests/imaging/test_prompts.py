"""Prompts recovered from files as the generators write them."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from retoucher.errors import InputError
from retoucher.imaging.files import read_picture, write_picture
from retoucher.imaging.metadata import Metadata
from retoucher.imaging.prompts import FoundPrompt, prompt_for, recover_prompt
from tests.imaging.makers import INFOTEXT, encoded, exif, scene

IMAGE = Image.fromarray(scene())
GRAPH = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 5, "positive": ["6", 0], "negative": ["7", 0], "model": ["4", 0]},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red fox", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blur", "clip": ["4", 1]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
}


def png(**texts):
    """A PNG with text chunks as Pillow's PngInfo writes them (A1111, ComfyUI, Fooocus, ...)."""
    info = PngInfo()
    for keyword, value in texts.items():
        info.add_text(keyword.replace("__", "-"), value)
    return read_picture(encoded(IMAGE, "PNG", pnginfo=info)).metadata


def jpeg(file_format="JPEG", **options):
    prefix = b"" if file_format == "WEBP" else b"Exif\0\0"
    return read_picture(encoded(IMAGE, file_format, exif=prefix + exif(**options))).metadata


def fooocus_jpeg(value, scheme):
    """Fooocus sets UserComment and MakerNote in the image IFD, as plain text."""
    tags = Image.Exif()
    tags[0x9286], tags[0x0131], tags[0x927C] = value, "Fooocus v2.5.5", scheme
    return read_picture(encoded(IMAGE, "JPEG", exif=tags)).metadata


def found(prompt, negative, source):
    return FoundPrompt(prompt=prompt, negative=negative, source=source)


SWARM = json.dumps(
    {
        "sui_image_params": {
            "prompt": "a swarm, of bees",
            "negativeprompt": "wasps",
            "model": "x",
            "seed": 1,
        },
        "sui_extra_data": {"date": "2025-01-01"},
    },
    indent=2,
)
FOOOCUS = json.dumps(
    {
        "prompt": "a lighthouse",
        "negative_prompt": "people",
        "full_prompt": ["a lighthouse, cinematic"],
        "base_model": "juggernaut",
        "metadata_scheme": "fooocus",
        "version": "Fooocus v2.5.5",
    }
)
NAI4 = json.dumps(
    {
        "prompt": "base text",
        "uc": "bad",
        "steps": 28,
        "v4_prompt": {
            "caption": {
                "base_caption": "two friends",
                "char_captions": [
                    {"char_caption": "girl, red hair", "centers": [{"x": 0.3, "y": 0.5}]},
                    {"char_caption": "boy, hat", "centers": []},
                ],
            },
            "use_coords": False,
        },
        "v4_negative_prompt": {"caption": {"base_caption": "worst", "char_captions": []}},
    }
)
CASES = {
    "swarmui png": (png(parameters=SWARM), found("a swarm, of bees", "wasps", "swarmui")),
    "swarmui jpeg": (jpeg(comment=SWARM), found("a swarm, of bees", "wasps", "swarmui")),
    "fooocus png": (
        png(parameters=FOOOCUS, fooocus_scheme="fooocus"),
        found("a lighthouse", "people", "fooocus"),
    ),
    "fooocus png, a1111 scheme": (
        png(parameters=INFOTEXT, fooocus_scheme="a1111"),
        found("a cat, sitting\non a mat", "dog,\nrain", "fooocus"),
    ),
    "fooocus jpeg": (fooocus_jpeg(FOOOCUS, "fooocus"), found("a lighthouse", "people", "fooocus")),
    "fooocus jpeg, a1111 scheme": (
        fooocus_jpeg(INFOTEXT, "a1111"),
        found("a cat, sitting\non a mat", "dog,\nrain", "fooocus"),
    ),
    "a1111 png": (
        png(parameters=INFOTEXT),
        found("a cat, sitting\non a mat", "dog,\nrain", "a1111"),
    ),
    "a1111 png, other letters": (
        png(parameters="水墨画, café\nSteps: 4, Sampler: LCM, Seed: 3"),
        found("水墨画, café", "", "a1111"),
    ),
    "a1111 png, two pairs are prompt": (
        png(parameters="a cat\nstyle: ink, mood: calm"),
        found("a cat\nstyle: ink, mood: calm", "", "a1111"),
    ),
    "a1111 png, no negative": (
        png(parameters="sign that says: open\nSteps: 4, Sampler: LCM, Seed: 3"),
        found("sign that says: open", "", "a1111"),
    ),
    "a1111 jpeg": (
        jpeg(comment=INFOTEXT),
        found("a cat, sitting\non a mat", "dog,\nrain", "a1111"),
    ),
    "a1111 webp": (
        jpeg("WEBP", comment=INFOTEXT),
        found("a cat, sitting\non a mat", "dog,\nrain", "a1111"),
    ),
    "a camera's comment": (jpeg(comment="Screenshot"), None),
    "comfyui png": (
        png(prompt=json.dumps(GRAPH), workflow='{"nodes": []}'),
        found("a red fox", "blur", "comfyui"),
    ),
    "comfyui webp": (
        jpeg("WEBP", model="prompt:" + json.dumps(GRAPH), make='workflow:{"nodes": []}'),
        found("a red fox", "blur", "comfyui"),
    ),
    "invokeai": (
        png(
            invokeai_metadata=json.dumps(
                {"app_version": "5.4", "positive_prompt": "a castle", "negative_prompt": "fog"}
            )
        ),
        found("a castle", "fog", "invokeai"),
    ),
    "invokeai 2 json": (
        png(
            sd__metadata=json.dumps(
                {"model": "x", "image": {"prompt": [{"prompt": "a castle [fog]", "weight": 1.0}]}}
            )
        ),
        found("a castle", "fog", "invokeai"),
    ),
    "invokeai 1 command": (
        png(Dream='"a \\"big\\" castle, spring [fog]" -s 50 -S 42 -W 512 -H 512 -C 7.5 -A k_lms'),
        found('a "big" castle, spring', "fog", "invokeai"),
    ),
    "novelai 3": (
        png(
            Title="AI generated image",
            Description="a knight",
            Software="NovelAI",
            Source="Stable Diffusion XL",
            Comment=json.dumps({"prompt": "a knight, shining", "uc": "lowres", "steps": 28}),
        ),
        found("a knight, shining", "lowres", "novelai"),
    ),
    "novelai 4": (
        png(Software="NovelAI", Description="base text", Comment=NAI4),
        found("two friends\ngirl, red hair\nboy, hat", "worst", "novelai"),
    ),
    "novelai, description only": (
        png(Software="NovelAI", Description="a knight", Comment="{broken"),
        found("a knight", "", "novelai"),
    ),
    "novelai webp": (
        jpeg("WEBP", comment=json.dumps({"Software": "NovelAI", "Comment": NAI4})),
        found("two friends\ngirl, red hair\nboy, hat", "worst", "novelai"),
    ),
    "other json": (
        png(parameters='{"prompt": "a duck", "negative_prompt": "geese"}'),
        found("a duck", "geese", "json"),
    ),
    "plain prompt chunk": (
        png(prompt="a duck", negative_prompt="geese"),
        found("a duck", "geese", "text chunk"),
    ),
    "nothing": (png(Title="holiday"), None),
    "swarmui before comfyui": (
        png(parameters=SWARM, prompt=json.dumps(GRAPH)),
        found("a swarm, of bees", "wasps", "swarmui"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_prompts_of_generators(name):
    metadata, expected = CASES[name]
    assert recover_prompt(metadata) == expected


@pytest.mark.parametrize("name", [name for name, (_, hit) in CASES.items() if hit])
def test_the_prompt_is_found_again_after_retouching(name, tmp_path):
    """Our own record must not disturb the next reader."""
    metadata, expected = CASES[name]
    source = read_picture(encoded(IMAGE, "PNG"))
    picture = read_picture(
        _as_png(metadata)
        if metadata.text
        else encoded(IMAGE, "JPEG", exif=b"Exif\0\0" + metadata.exif)
    )
    suffix = ".png" if metadata.text else ".jpg"
    path = tmp_path / f"p{suffix}"
    result = picture.image_rgb.copy()
    result[5:9, 5:9] = 0
    assert source.image_rgb.shape == result.shape
    record = {"summary": "2 regions: hand, text", "prompt": "x: y, z"}
    for _ in range(2):
        write_picture(path, picture, result, record)
        picture = read_picture(path)
        result = 255 - picture.image_rgb
        assert recover_prompt(picture.metadata) == expected


def _as_png(metadata):
    info = PngInfo()
    for keyword, value in metadata.text:
        info.add_text(keyword, value)
    return encoded(IMAGE, "PNG", pnginfo=info)


def test_utf8_in_a_text_chunk_that_should_be_latin1():
    from tests.imaging.makers import write_png

    text = "水墨画 café\nSteps: 4, Sampler: LCM, Version: à"
    data = write_png(
        np.zeros((2, 2), int), "L", 8, before=[(b"tEXt", b"parameters\0" + text.encode())]
    )
    picture = read_picture(data)
    assert recover_prompt(picture.metadata).prompt == "水墨画 café"


# --- where the prompt comes from


def test_given_then_beside_then_inside(tmp_path):
    path = tmp_path / "a.b.png"
    metadata = png(parameters=INFOTEXT)
    assert prompt_for(path, metadata).source == "a1111"
    (tmp_path / "a.b.txt").write_text("\ufeff a blue door \n", encoding="utf-8")
    assert prompt_for(path, metadata) == found("a blue door", "", "a.b.txt")
    assert prompt_for(path, metadata, " given ") == found("given", "", "given")
    assert prompt_for(path, metadata, "") == found("", "", "given")
    assert prompt_for(None, Metadata()) == found("", "", "none")


def test_a_text_file_as_a1111_saves_it(tmp_path):
    (tmp_path / "p.txt").write_text(INFOTEXT, encoding="utf-8")
    chosen = prompt_for(tmp_path / "p.png", Metadata())
    assert chosen == found("a cat, sitting\non a mat", "dog,\nrain", "p.txt")


def test_an_empty_text_file_does_not_count(tmp_path):
    (tmp_path / "p.txt").write_text(" \n")
    assert prompt_for(tmp_path / "p.png", png(parameters=INFOTEXT)).source == "a1111"


@pytest.mark.parametrize("data", [b"\xff\xfe\x00bad\x80", b"x" * 2_000_000])
def test_a_text_file_that_is_no_prompt(tmp_path, data):
    (tmp_path / "p.txt").write_bytes(data)
    with pytest.raises(InputError, match=r"p\.txt.*--prompt"):
        prompt_for(tmp_path / "p.png", Metadata())


# --- hostile metadata

KEYWORDS = [
    "parameters",
    "prompt",
    "Comment",
    "Dream",
    "sd-metadata",
    "invokeai_metadata",
    "fooocus_scheme",
    "Software",
    "Description",
    "generation_data",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["prompt", "sui_image_params", "uc", "caption", "v4_prompt", "image", "inputs"]
            )
            | st.text(max_size=5),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(KEYWORDS),
        st.text(max_size=80) | JSON.map(json.dumps) | st.just("NovelAI") | st.just("a1111"),
        max_size=5,
    ),
    st.none() | st.binary(max_size=120).map(lambda tail: b"MM\0*\0\0\0\x08" + tail),
)
def test_odd_metadata_never_raises(texts, blob):
    hit = recover_prompt(Metadata(text=tuple(texts.items()), exif=blob))
    if hit is not None:
        assert hit.prompt.strip()
        hit.prompt.encode()
        hit.negative.encode()


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 100_000,
        '{"prompt": ' + "9" * 10_000 + "}",
        "{" + '"1": {"class_type": "KSampler", "inputs": {}},' * 5,
        "\0" * 1000,
        "\ud800 lone",
        '{"v4_prompt": {"caption": {"char_captions": [[], 1, null]}}, "uc": 1, "prompt": []}',
        '{"sui_image_params": []}',
    ],
)
@pytest.mark.parametrize("keyword", KEYWORDS)
def test_hostile_texts_never_raise(keyword, text):
    hit = recover_prompt(Metadata(text=((keyword, text), ("Software", "NovelAI"))))
    assert hit is None or hit.prompt.encode()
