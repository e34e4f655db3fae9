"""The walk through ComfyUI's API graphs."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retoucher.imaging.comfy import prompt_of


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


def text(words, **more):
    return node("CLIPTextEncode", text=words, clip=["1", 1], **more)


BASE = {"1": node("CheckpointLoaderSimple", ckpt_name="x.safetensors")}
OUT = {"90": node("VAEDecode", samples=["3", 0]), "91": node("SaveImage", images=["90", 0])}


def ksampler(positive, negative, kind="KSampler", **more):
    return node(kind, seed=1, model=["1", 0], positive=positive, negative=negative, **more)


GRAPHS = {
    "plain": (
        {"3": ksampler(["6", 0], ["7", 0]), "6": text("fox"), "7": text("blur")},
        ("fox", "blur"),
    ),
    "advanced": (
        {
            "3": ksampler(["6", 0], ["7", 0], "KSamplerAdvanced", noise_seed=4),
            "6": text("fox"),
            "7": text("blur"),
        },
        ("fox", "blur"),
    ),
    "negative first and longer": (
        {
            "2": text("a very long negative text that must not be taken for the prompt"),
            "3": ksampler(["6", 0], ["2", 0]),
            "6": text("fox"),
        },
        ("fox", "a very long negative text that must not be taken for the prompt"),
    ),
    "sampler custom": (
        {
            "3": ksampler(["6", 0], ["7", 0], "SamplerCustom", sampler=["8", 0]),
            "6": text("fox"),
            "7": text("blur"),
            "8": node("KSamplerSelect", sampler_name="euler"),
        },
        ("fox", "blur"),
    ),
    "flux: custom advanced, guider, guidance, reroute": (
        {
            "3": node("SamplerCustomAdvanced", noise=["20", 0], guider=["21", 0]),
            "20": node("RandomNoise", noise_seed=1),
            "21": node("BasicGuider", model=["1", 0], conditioning=["22", 0]),
            "22": node("FluxGuidance", guidance=3.5, conditioning=["23", 0]),
            "23": node("Reroute", **{"": ["6", 0]}),
            "6": node("CLIPTextEncodeFlux", clip_l="fox", t5xxl="a fox in the snow", clip=["1", 1]),
        },
        ("a fox in the snow", ""),
    ),
    "cfg guider": (
        {
            "3": node("SamplerCustomAdvanced", guider=["21", 0]),
            "21": node("CFGGuider", cfg=5, positive=["6", 0], negative=["7", 0]),
            "6": text("fox"),
            "7": text("blur"),
        },
        ("fox", "blur"),
    ),
    "sdxl encoder, same text twice": (
        {
            "3": ksampler(["6", 0], ["7", 0]),
            "6": node("CLIPTextEncodeSDXL", text_g="fox", text_l="fox", width=1024),
            "7": node("CLIPTextEncodeSDXL", text_g="blur", text_l="noise", width=1024),
        },
        ("fox", "blur, noise"),
    ),
    "sd3 encoder": (
        {
            "3": ksampler(["6", 0], ["7", 0]),
            "6": node("CLIPTextEncodeSD3", clip_l="fox", clip_g="fox", t5xxl="a fox"),  # once
            "7": node("ConditioningZeroOut", conditioning=["6", 0]),
        },
        ("a fox", ""),
    ),
    "combine, concat, area, controlnet": (
        {
            "3": ksampler(["30", 0], ["30", 1]),
            "30": node(
                "ControlNetApplyAdvanced", positive=["31", 0], negative=["7", 0], strength=1
            ),
            "31": node("ConditioningCombine", conditioning_1=["32", 0], conditioning_2=["33", 0]),
            "32": node("ConditioningSetArea", conditioning=["6", 0], width=64),
            "33": node(
                "ConditioningConcat", conditioning_to=["34", 0], conditioning_from=["35", 0]
            ),
            "34": text("a river"),
            "35": text("at dusk"),
            "6": text("fox"),
            "7": text("blur"),
        },
        ("fox, a river, at dusk", "blur"),
    ),
    "text from a primitive through a concat and a show node": (
        {
            "3": ksampler(["6", 0], ["7", 0]),
            "6": text(["40", 0]),
            "40": {
                "class_type": "ShowText|pysssss",
                "inputs": {"text": ["41", 0], "text_0": "stale"},
            },
            "41": node(
                "StringConcatenate", string_a=["42", 0], string_b="in the snow", delimiter=" "
            ),
            "42": node("PrimitiveStringMultiline", value="a fox"),
            "7": text(""),
        },
        ("a fox in the snow", ""),
    ),
    "text concatenate with links out of order": (
        {
            "3": ksampler(["6", 0], ["7", 0]),
            "6": text(["41", 0]),
            "41": node(
                "Text Concatenate",
                text_b="two",
                text_a=["42", 0],
                text_c="three",
                delimiter=", ",
                clean_whitespace="true",
            ),
            "42": node("Text Multiline", text="one"),
            "7": text("blur"),
        },
        ("one, two, three", "blur"),
    ),
    "wildcards: what they became": (
        {
            "3": ksampler(["6", 0], ["7", 0]),
            "6": node(
                "ImpactWildcardEncode",
                wildcard_text="a {fox|cat}",
                populated_text="a cat",
                mode="populate",
                model=["1", 0],
                clip=["1", 1],
            ),
            "7": text("blur"),
        },
        ("a cat", "blur"),
    ),
    "efficiency nodes": (
        {
            "3": ksampler(["60", 1], ["60", 2], "KSampler (Efficient)", latent_image=["60", 3]),
            "60": node("Efficient Loader", ckpt_name="x", positive="fox", negative="blur"),
        },
        ("fox", "blur"),
    ),
    "easy use": (
        {
            "3": node("easy kSampler", pipe=["61", 0], image_output="Preview"),
            "61": node("easy preSampling", steps=20, seed=1, pipe=["60", 0]),
            "60": node("easy fullLoader", positive="fox", negative="blur", ckpt_name="x"),
        },
        ("fox", "blur"),
    ),
    "impact basic pipe": (
        {
            "3": node("ImpactKSamplerBasicPipe", basic_pipe=["61", 0], seed=1),
            "61": node("ToBasicPipe", model=["1", 0], positive=["6", 0], negative=["7", 0]),
            "6": text("fox"),
            "7": text("blur"),
        },
        ("fox", "blur"),
    ),
    "rgthree context and any switch": (
        {
            "3": ksampler(["61", 4], ["61", 5]),
            "61": node("Context (rgthree)", positive=["62", 0], negative=["7", 0]),
            "62": node("Any Switch (rgthree)", any_02=["63", 0], any_01=["404", 0]),
            "63": text("fox"),
            "7": text("blur"),
        },
        ("fox", "blur"),
    ),
    "a switch by number": (
        {
            "3": ksampler(["61", 0], ["7", 0]),
            "61": node("ImpactSwitch", select=2, input1=["62", 0], input2=["63", 0]),
            "62": text("cat"),
            "63": text("fox"),
            "7": text("blur"),
        },
        ("fox", "blur"),
    ),
    "styler with two outputs": (
        {
            "3": ksampler(["6", 0], ["7", 0]),
            "6": text(["50", 0]),
            "7": text(["50", 1]),
            "50": node("SDXLPromptStyler", text_positive="fox", text_negative="blur", style="x"),
        },
        ("fox", "blur"),
    ),
    "the base picture, not the face detailer": (
        {
            "3": ksampler(["6", 0], ["7", 0]),
            "6": text("fox"),
            "7": text("blur"),
            "80": node(
                "FaceDetailer", image=["90", 0], seed=1, positive=["81", 0], negative=["7", 0]
            ),
            "81": text("perfect face"),
            "92": node("SaveImage", images=["80", 0]),
        },
        ("fox", "blur"),
    ),
    "the first of two passes": (
        {
            "3": ksampler(["6", 0], ["7", 0], latent_image=["5", 0]),
            "6": text("fox"),
            "7": text("blur"),
            "70": ksampler(["71", 0], ["7", 0], latent_image=["3", 0]),
            "71": text("fox, detailed"),
            "72": node("VAEDecode", samples=["70", 0]),
            "91": node("SaveImage", images=["72", 0]),
            "90": node("VAEDecode", samples=["70", 0]),
        },
        ("fox", "blur"),
    ),
    "qwen edit": (
        {
            "3": ksampler(["6", 0], ["7", 0]),
            "6": node("TextEncodeQwenImageEdit", prompt="make it snow", clip=["1", 0]),
            "7": node("TextEncodeQwenImageEdit", prompt="", clip=["1", 0]),
        },
        ("make it snow", ""),
    ),
    "video sampler": (
        {
            "3": node("WanVideoSampler", seed=1, text_embeds=["6", 0]),
            "6": node("WanVideoTextEncode", positive_prompt="fox runs", negative_prompt="still"),
        },
        ("fox runs", "still"),
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name):
    graph, (positive, negative) = GRAPHS[name]
    found = prompt_of(BASE | OUT | graph)
    assert found is not None
    assert (found.positive, found.negative) == (positive, negative)
    assert found.certain


def test_nan_as_comfyui_writes_it():
    graph = BASE | {"3": ksampler(["6", 0], ["7", 0], denoise=float("nan")), "6": text("fox")}
    assert prompt_of(json.loads(json.dumps(graph))).positive == "fox"


def test_without_a_known_sampler_the_longest_text_is_a_guess():
    graph = {
        "1": node("SomeMagic", stuff=["2", 0], negative=["3", 0]),
        "2": text("a fox in the snow"),
        "3": text("long list of things that are not wanted in any picture"),
        "4": text("hat"),
    }
    found = prompt_of(graph)
    assert found.positive == "a fox in the snow"
    assert not found.certain


def test_cycles_and_missing_nodes_end():
    graph = {
        "3": ksampler(["6", 0], ["404", 0]),
        "6": node("ConditioningCombine", conditioning_1=["7", 0], conditioning_2=["8", 0]),
        "7": node("ConditioningSetArea", conditioning=["6", 0]),
        "8": text(["9", 0]),
        "9": node("Reroute", **{"": ["8", 0]}),
    }
    assert prompt_of(graph) is None


def test_huge_and_deep_graphs_end_soon():
    chain = {
        str(i): node("ConditioningSetArea", conditioning=[str(i + 1), 0]) for i in range(19_000)
    }
    diamonds = {
        str(i): node(
            "ConditioningCombine", conditioning_1=[str(i + 1), 0], conditioning_2=[str(i + 1), 0]
        )
        for i in range(90)
    }
    start = time.perf_counter()
    for graph in (chain, diamonds):
        graph["s"] = ksampler(["0", 0], ["0", 0])
        assert prompt_of(graph) is None
    assert time.perf_counter() - start < 5


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
LINKS = st.tuples(st.sampled_from("1234"), st.integers(0, 2)).map(list)
NAMES = st.sampled_from(
    ["positive", "negative", "text", "conditioning", "pipe", "guider", "", "seed", "string_a"]
)
KINDS = st.sampled_from(["KSampler", "CLIPTextEncode", "Reroute", "StringConcatenate", "SaveImage"])
NODES = st.builds(
    lambda kind, inputs: {"class_type": kind, "inputs": inputs},
    KINDS | VALUES,
    st.dictionaries(NAMES, LINKS | VALUES, max_size=5) | VALUES,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from("12345"), NODES | VALUES, max_size=5))
def test_random_graphs_never_raise(graph):
    found = prompt_of(graph)
    assert found is None or found.positive.strip()
