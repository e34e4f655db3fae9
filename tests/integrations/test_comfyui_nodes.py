"""The ComfyUI node pack, loaded and called the way ComfyUI does it, without ComfyUI."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from retoucher.agents import EditRequest, RgbArray  # noqa: E402
from retoucher.api import Retoucher  # noqa: E402
from retoucher.config import Settings  # noqa: E402
from retoucher.data.feedback import read_feedback  # noqa: E402
from retoucher.data.sample import Sample  # noqa: E402
from retoucher.domain.diagnosis import Diagnosis  # noqa: E402
from retoucher.domain.region import Region  # noqa: E402
from retoucher.domain.saliency import SaliencyMap  # noqa: E402
from retoucher.domain.trace import AgentInfo  # noqa: E402
from retoucher.errors import ConfigError  # noqa: E402
from retoucher.job import Agents  # noqa: E402
from retoucher.planning.policy import StaticPlanner  # noqa: E402
from retoucher.testing import ScriptedTool, ScriptedVerifier, paint  # noqa: E402

PACK = Path(__file__).parents[2] / "integrations" / "comfyui"
EXAMPLES = sorted(PACK.glob("example_workflows/*.json"))
MAGENTA = (255, 0, 255)
BLOT = (slice(20, 36), slice(30, 60))
COMFY_TYPES = {"IMAGE", "MASK", "SEGS", "STRING", "INT", "FLOAT", "RETOUCHER_REGIONS"}


class MagentaPerceiver:
    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="perceiver", name="magenta", version="0")

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        return SaliencyMap((image_rgb == MAGENTA).all(axis=2).astype(np.float32) * 0.9)


class MagentaReasoner:
    """A malformed hand, or no defect where there is no magenta."""

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="reasoner", name="magenta", version="0")

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        bad = [(image_rgb[region.box.slices] == MAGENTA).all(axis=2).any() for region in regions]
        return tuple(
            Diagnosis(
                region_id=region.id,
                category="hand_shape" if is_bad else "no_defect",
                severity=2 if is_bad else 0,
                description=f"in {prompt!r}",
                confidence=0.8,
            )
            for region, is_bad in zip(regions, bad, strict=True)
        )


class FakeComfy:
    """comfy.utils and comfy.model_management as far as nodes use them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.progress: list[tuple[int, int, Any]] = []
        self.stopped = False
        owner = self

        class InterruptProcessingException(Exception):
            pass

        class ProgressBar:
            def __init__(self, total: int, node_id: Any = None) -> None:
                self.total = total

            def update_absolute(self, value: int, total: Any = None, preview: Any = None) -> None:
                owner.progress.append((value, total, preview))

        def throw_exception_if_processing_interrupted() -> None:
            if owner.stopped:
                owner.stopped = False
                raise InterruptProcessingException

        self.interrupt_type = InterruptProcessingException
        utils, management = types.ModuleType("comfy.utils"), types.ModuleType("model_management")
        utils.ProgressBar = ProgressBar  # type: ignore[attr-defined]
        management.processing_interrupted = lambda: owner.stopped  # type: ignore[attr-defined]
        management.throw_exception_if_processing_interrupted = (  # type: ignore[attr-defined]
            throw_exception_if_processing_interrupted
        )
        monkeypatch.setitem(sys.modules, "comfy", types.ModuleType("comfy"))
        monkeypatch.setitem(sys.modules, "comfy.utils", utils)
        monkeypatch.setitem(sys.modules, "comfy.model_management", management)


@pytest.fixture(scope="module")
def pack() -> Iterator[types.ModuleType]:
    """As `load_custom_node` of ComfyUI's nodes.py loads a folder."""
    name = str(PACK).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    for key in [key for key in sys.modules if key.startswith(name)]:
        del sys.modules[key]


def host(pack: types.ModuleType) -> Any:
    return sys.modules[f"{pack.__name__}.host"]


@pytest.fixture
def agents(pack: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Scripted agents for every settings; the list holds what was asked for."""
    asked: list[Settings] = []

    def made(settings: Settings) -> Retoucher:
        asked.append(settings)
        return Retoucher(
            Agents(
                perceiver=MagentaPerceiver(),
                reasoner=MagentaReasoner(),
                planner=StaticPlanner(),
                tools={"brush": ScriptedTool("brush", [paint(100)])},
                verifier=ScriptedVerifier(),
            ),
            settings,
        )

    monkeypatch.setattr(host(pack), "retoucher_for", made)
    return asked


def clean(height: int = 64, width: int = 96) -> Any:
    """A float picture whose values are no multiples of 1/255."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.uniform(0.2, 0.7, (height, width, 3)).astype(np.float32))


def blotted() -> Any:
    picture = clean()
    picture[BLOT] = torch.tensor(MAGENTA) / 255
    return picture


def call(pack: types.ModuleType, name: str, **inputs: Any) -> dict[str, Any]:
    """As ComfyUI's executor: defaults filled in, lists given out as they say; by output name."""
    node_class = pack.NODE_CLASS_MAPPINGS[name]
    declared = node_class.INPUT_TYPES()
    known = {**declared.get("required", {}), **declared.get("optional", {})}
    assert inputs.keys() <= known.keys(), "an input that ComfyUI would not pass"
    assert declared["required"].keys() <= inputs.keys(), "a required input is missing"
    filled = {k: v[1]["default"] for k, v in known.items() if len(v) > 1 and "default" in v[1]}
    given = {**filled, **inputs}
    if getattr(node_class, "INPUT_IS_LIST", False):
        given = {k: v if isinstance(v, list) else [v] for k, v in given.items()}
    out = getattr(node_class(), node_class.FUNCTION)(**given)
    if isinstance(out, dict):  # an output node shows something, too
        assert node_class.OUTPUT_NODE
        json.dumps(out["ui"])
        out = out["result"]
    assert isinstance(out, tuple)
    assert len(out) == len(node_class.RETURN_TYPES) == len(node_class.RETURN_NAMES)
    for value, is_list, kind in zip(
        out, node_class.OUTPUT_IS_LIST, node_class.RETURN_TYPES, strict=True
    ):
        assert isinstance(value, list) == is_list
        if kind == "IMAGE":
            assert value.ndim == 4
            assert value.dtype == torch.float32
            assert 0 <= float(value.min()) <= float(value.max()) <= 1
        if kind == "MASK":
            assert value.ndim == 3
            assert value.dtype == torch.float32
    return dict(zip(node_class.RETURN_NAMES, out, strict=True))


def test_conventions(pack: types.ModuleType) -> None:
    mappings, names = pack.NODE_CLASS_MAPPINGS, pack.NODE_DISPLAY_NAME_MAPPINGS
    assert mappings.keys() == names.keys()
    for node_class in mappings.values():
        assert node_class.CATEGORY
        assert node_class.DESCRIPTION
        assert callable(getattr(node_class, node_class.FUNCTION))
        assert set(node_class.RETURN_TYPES) <= COMFY_TYPES
        assert len(node_class.OUTPUT_IS_LIST) == len(node_class.RETURN_TYPES)
        for group in node_class.INPUT_TYPES().values():
            for kind, *options in group.values():
                assert isinstance(kind, list) or kind in COMFY_TYPES
                for option in options:
                    assert isinstance(option, dict)
                    json.dumps(option)


def test_the_packs_own_metadata() -> None:
    data = tomllib.loads((PACK / "pyproject.toml").read_text())
    project, comfy = data["project"], data["tool"]["comfy"]
    assert "comfyui" not in project["name"].lower()
    assert len(project["version"].split(".")) == 3
    assert (PACK / project["license"]["file"]).exists()
    assert (PACK / project["readme"]).exists()
    assert {"PublisherId", "DisplayName", "Icon"} <= comfy.keys()
    assert "Repository" in project["urls"]
    assert (PACK / "requirements.txt").read_text().split() == project["dependencies"]


@pytest.mark.parametrize(
    "path", sorted(PACK.glob("example_workflows/*.json")), ids=lambda p: p.stem
)
def test_example_workflows_fit_the_nodes(pack: types.ModuleType, path: Path) -> None:
    flow = json.loads(path.read_text())
    nodes = {node["id"]: node for node in flow["nodes"]}
    for _, start, slot, end, target, kind in flow["links"]:
        assert nodes[start]["outputs"][slot]["type"] == kind
        assert nodes[end]["inputs"][target]["type"] in (kind, "*")
    ours = [node for node in flow["nodes"] if node["type"] in pack.NODE_CLASS_MAPPINGS]
    assert ours
    for node in ours:
        node_class = pack.NODE_CLASS_MAPPINGS[node["type"]]
        declared = node_class.INPUT_TYPES()
        known = {**declared["required"], **declared.get("optional", {})}
        for given in node["inputs"]:
            assert known[given["name"]][0] == given["type"]
        assert [o["type"] for o in node["outputs"]] == list(node_class.RETURN_TYPES)
        assert [o["name"] for o in node["outputs"]] == list(node_class.RETURN_NAMES)
        widgets = [key for key in known if key not in {i["name"] for i in node["inputs"]}]
        values = [v for v in node["widgets_values"] if v != "fixed"]  # the seed's own control
        assert len(values) == len(widgets)
        for key, value in zip(widgets, values, strict=True):
            kind = known[key][0]
            if isinstance(kind, list):
                assert value in kind
            else:
                assert isinstance(value, {"STRING": str, "INT": int, "FLOAT": float}[kind])


def test_find(pack: types.ModuleType, agents: list[Settings]) -> None:
    batch = torch.stack([blotted(), clean()])
    out = call(pack, "RetoucherFindDefects", image=batch, prompt="a cup", threshold=0.5)
    assert out["mask"].shape == (2, 64, 96)
    assert out["mask"][0][BLOT].min() == 1
    assert out["mask"][1].max() == 0
    assert out["saliency"].shape == batch.shape
    assert out["saliency"][0][BLOT].min() > 0.89
    first, second = map(json.loads, out["diagnoses"])
    assert second == []
    assert first[0]["category"] == "hand_shape"
    assert "a cup" in first[0]["description"]
    assert agents[0].regions.threshold == 0.5
    assert [len(segs) for _, segs in out["segs"]] == [1, 0]


def test_segs_are_what_impact_pack_reads(pack: types.ModuleType, agents: list[Settings]) -> None:
    image = torch.stack([blotted()])
    found = call(pack, "RetoucherFindDefects", image=image, crop_factor=2.0)
    (height, width), segs = found["segs"][0]
    assert (height, width) == (64, 96)
    seg = segs[0]
    x1, y1, x2, y2 = seg.crop_region
    assert 0 <= x1 < x2 <= 96
    assert 0 <= y1 < y2 <= 64
    assert seg.cropped_mask.shape == (y2 - y1, x2 - x1)
    assert seg.cropped_mask.dtype == np.float32
    assert torch.equal(seg.cropped_image, image[:, y1:y2, x1:x2])
    # What Impact Pack's segs_to_combined_mask does with it:
    combined = np.zeros((height, width), np.float32)
    combined[y1:y2, x1:x2] = np.maximum(combined[y1:y2, x1:x2], seg.cropped_mask)
    assert np.array_equal(combined, found["mask"][0].numpy())
    assert (seg.label, seg.confidence, seg.control_net_wrapper) == ("hand_shape", 0.8, None)
    left, top, right, bottom = seg.bbox
    assert x1 <= left < right <= x2
    assert y1 <= top < bottom <= y2
    assert seg._replace(label="x").label == "x"


def test_regions_are_chosen_for_segs(pack: types.ModuleType, agents: list[Settings]) -> None:
    image = torch.stack([blotted(), blotted()])
    regions = call(pack, "RetoucherFindDefects", image=image)["regions"]

    def count(**changes: Any) -> list[int]:
        out = call(pack, "RetoucherRegionsToSEGS", image=image, regions=regions, **changes)
        return [len(segs) for _, segs in out["segs"]]

    assert count() == [1, 1]
    assert count(only="hand") == count(only="hand_shape") == [1, 1]
    assert count(only="face") == count(min_severity=3) == [0, 0]
    with pytest.raises(ValueError, match="1 pictures but regions of 2"):
        call(pack, "RetoucherRegionsToSEGS", image=image[:1], regions=regions)


def test_diagnose_the_users_mask(pack: types.ModuleType, agents: list[Settings]) -> None:
    image = torch.stack([blotted(), clean()])
    mask = torch.zeros(1, 64, 96)
    mask[0][BLOT] = 1
    mask[0, 50:60, 5:15] = 1
    out = call(pack, "RetoucherDiagnose", image=image, mask=mask)
    told = [[row["category"] for row in json.loads(text)] for text in out["diagnoses"]]
    assert told == [["hand_shape", "no_defect"], ["no_defect", "no_defect"]]
    segs = call(pack, "RetoucherRegionsToSEGS", image=image, regions=out["regions"])["segs"]
    assert [len(each) for _, each in segs] == [1, 0]
    with pytest.raises(ValueError, match="2 pictures but 3 masks"):
        call(pack, "RetoucherDiagnose", image=image, mask=torch.ones(3, 64, 96))
    noise = (torch.rand(1, 64, 96) > 0.7).float()
    with pytest.raises(ValueError, match="separate pieces"):
        call(pack, "RetoucherDiagnose", image=image, mask=noise)


def test_a_mask_of_another_size_is_fitted(pack: types.ModuleType, agents: list[Settings]) -> None:
    """LoadImage gives an empty 64 x 64 mask for a picture without alpha."""
    image = torch.stack([blotted()])
    out = call(pack, "RetoucherDiagnose", image=image, mask=torch.zeros(1, 64, 64))
    assert out["diagnoses"] == ["[]"]


def test_retouch(pack: types.ModuleType, agents: list[Settings]) -> None:
    batch = torch.stack([blotted(), clean(), blotted()])
    before = batch.clone()
    out = call(pack, "RetoucherRetouch", image=batch, prompt="a cup", rounds=2, seed=5)
    assert torch.equal(batch, before), "the input was written to"
    image, changed = out["image"], out["changed"]
    assert image.shape == batch.shape
    assert torch.equal(image[1], batch[1])
    for i in (0, 2):
        assert changed[i][24:32, 34:56].min() == 1
        kept = changed[i] == 0
        assert torch.equal(image[i][kept], batch[i][kept]), "floats outside were rounded"
        assert (image[i][28, 45] * 255 - 100).abs().max() < 1
    trace = json.loads(out["report"][0])
    assert trace["prompt"] == "a cup"
    assert trace["seed"] == 5
    assert trace["rounds"][0]["edits"][0]["outcome"] == "accepted"
    assert agents[0].rounds == 2


def test_retouch_keeps_alpha(pack: types.ModuleType, agents: list[Settings]) -> None:
    alpha = torch.rand(64, 96, 1)
    batch = torch.cat([blotted(), alpha], dim=2)[None]
    image = call(pack, "RetoucherRetouch", image=batch)["image"]
    assert torch.equal(image[0, ..., 3:], alpha)
    assert not torch.equal(image[..., :3], batch[..., :3])


def test_retouch_only_where_the_mask_says(pack: types.ModuleType, agents: list[Settings]) -> None:
    picture = blotted()
    picture[45:60, 5:20] = torch.tensor(MAGENTA) / 255
    mask = torch.zeros(64, 96)
    mask[45:60, 5:20] = 1
    out = call(pack, "RetoucherRetouch", image=picture[None], mask=mask)
    assert out["changed"][0][BLOT].max() == 0
    assert out["changed"][0][50:55, 10:15].min() == 1


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ComfyUI's output folder."""
    paths = types.ModuleType("folder_paths")
    paths.get_output_directory = lambda: str(tmp_path / "output")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "folder_paths", paths)
    return tmp_path / "output"


def test_feedback_on_repairs_becomes_training_data(
    pack: types.ModuleType, agents: list[Settings], output: Path
) -> None:
    batch = torch.stack([blotted(), blotted().flip(0)])
    found = call(pack, "RetoucherFindDefects", image=batch)
    fixed = call(pack, "RetoucherRetouch", image=batch, prompt="a cup")
    said = {"mask": found["mask"], "result": fixed["image"], "report": fixed["report"]}

    def record(verdict: str, category: str = "hand_finger_count", **more: Any) -> list[Sample]:
        out = call(
            pack, "RetoucherRecordFeedback", image=batch, verdict=verdict, category=category,
            **said, **more,
        )  # fmt: skip
        assert [Path(place).parent for place in out["records"]] == 2 * [output / "kept"]
        return read_feedback(output / "kept")

    samples = record("accept", folder="kept", description="six fingers")
    assert len(samples) == 2
    for sample in samples:
        assert sample.prompt == "a cup"
        (region,) = sample.regions
        assert (region.category, region.severity) == ("hand_finger_count", 2)
        assert region.description == "six fingers"
        assert region.mask_hw is not None
        assert region.mask_hw.all()
    assert (samples[0].load_rgb() == np.rint(batch[0].numpy() * 255)).all() or (
        samples[0].load_rgb() == np.rint(batch[1].numpy() * 255)
    ).all()
    assert len(list(output.rglob("result.png"))) == 2
    assert outcomes(output / "kept") == {("brush", "accepted")}

    samples = record("reject", folder="kept")  # in place of what was said before
    assert len(samples) == 2
    assert not list(output.rglob("result.png"))
    assert outcomes(output / "kept") == {("brush", "rejected")}
    assert "a cup" in samples[0].regions[0].description  # what reasoning had said

    samples = record("no_defect", folder="kept")
    assert [len(sample.regions) for sample in samples] == [0, 0]
    assert [part.part for sample in samples for part in sample.clean_parts] == ["hand", "hand"]


def outcomes(folder: Path) -> set[tuple[str, str]]:
    return {
        (edit["tool"], edit["outcome"])
        for path in folder.glob("*/feedback.json")
        for region in json.loads(path.read_text())["regions"]
        for edit in region["edits"]
    }


def test_feedback_on_a_painted_mask(
    pack: types.ModuleType, agents: list[Settings], output: Path
) -> None:
    mask = torch.zeros(64, 96)
    mask[5:15, 5:25] = 1
    mask[40:50, 60:70] = 1
    given = {"image": clean()[None], "mask": mask, "category": "limb_count"}
    undecided = call(pack, "RetoucherRecordFeedback", **given, verdict="undecided")
    assert undecided["records"] == [""]
    assert not output.exists()
    call(pack, "RetoucherRecordFeedback", **given, verdict="defect", prompt="a cup")
    (sample,) = read_feedback(output / "retoucher_feedback")
    assert [region.box.as_xyxy() for region in sample.regions] == [
        (5, 5, 25, 15), (60, 40, 70, 50),
    ]  # fmt: skip
    assert {region.category for region in sample.regions} == {"limb_count"}
    assert sample.prompt == "a cup"
    call(pack, "RetoucherRecordFeedback", **given, verdict="no_defect")
    (sample,) = read_feedback(output / "retoucher_feedback")
    assert not sample.regions
    assert {part.part for part in sample.clean_parts} == {"person"}


def test_feedback_that_cannot_be_kept(
    pack: types.ModuleType, agents: list[Settings], output: Path
) -> None:
    mask = torch.ones(1, 64, 96)
    given = {"image": clean()[None], "category": "limb_count", "verdict": "defect"}
    for change, words in (
        ({"mask": torch.zeros(1, 64, 64)}, "the mask is empty"),
        ({"mask": torch.ones(3, 64, 96)}, "1 pictures but 3 masks"),
        ({"folder": "../elsewhere"}, "below ComfyUI's output folder"),
        ({"folder": str(output.parent)}, "below ComfyUI's output folder"),
        ({"folder": ""}, "below ComfyUI's output folder"),
        ({"verdict": "maybe"}, "known: undecided, defect, accept, reject, no_defect"),
        ({"report": "{}"}, "is none of Retouch"),
        ({"report": ["{}", "{}"]}, "1 pictures but 2 of report"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            call(pack, "RetoucherRecordFeedback", **{"mask": mask, **given, **change})
    assert not output.exists()


def test_tools_by_name(pack: types.ModuleType, agents: list[Settings]) -> None:
    call(pack, "RetoucherRetouch", image=clean()[None], tools=" brush , other ")
    assert agents[0].preference.tools == ("brush", "other")


def test_a_workflow_cannot_use_tools_that_the_settings_leave_out(
    pack: types.ModuleType,
    agents: list[Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[preference]\ntools = ['brush', 'patchmatch']\n")
    monkeypatch.setattr(host(pack), "SETTINGS", path)
    call(pack, "RetoucherRetouch", image=clean()[None], tools="patchmatch,brush")
    assert agents[0].preference.tools == ("patchmatch", "brush")
    with pytest.raises(ValueError, match=r"openai-image is not among the tools of settings\.toml"):
        call(pack, "RetoucherRetouch", image=clean()[None], tools="openai-image")


def test_progress_and_previews(
    pack: types.ModuleType, agents: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy = FakeComfy(monkeypatch)
    call(pack, "RetoucherRetouch", image=torch.stack([blotted(), blotted()]), rounds=2)
    values = [value for value, _, _ in comfy.progress]
    assert values == sorted(values)
    assert {total for _, total, _ in comfy.progress} == {40}
    assert max(values) <= 40
    kind, preview, size = comfy.progress[-1][2]
    assert (kind, preview.size) == ("JPEG", (96, 64))
    assert size > 0


def test_the_stop_button(
    pack: types.ModuleType, agents: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy = FakeComfy(monkeypatch)
    edits: list[EditRequest] = []

    def edit(request: EditRequest) -> RgbArray:
        edits.append(request)
        comfy.stopped = True
        return paint(100)(request)

    made = host(pack).retoucher_for

    def with_slow_tool(settings: Settings) -> Retoucher:
        retoucher = made(settings)
        retoucher.agents.tools["brush"] = ScriptedTool("brush", [edit])
        return retoucher

    monkeypatch.setattr(host(pack), "retoucher_for", with_slow_tool)
    with pytest.raises(comfy.interrupt_type):
        call(pack, "RetoucherRetouch", image=torch.stack([blotted(), blotted()]))
    assert len(edits) == 1
    comfy.stopped = True
    with pytest.raises(comfy.interrupt_type):
        call(pack, "RetoucherFindDefects", image=blotted()[None])


def test_settings_file(
    pack: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    monkeypatch.setattr(host(pack), "SETTINGS", path)
    assert host(pack).base_settings() == Settings()
    path.write_text("[preference]\navoid = ['patchmatch']\n")
    assert host(pack).base_settings().preference.avoid == frozenset({"patchmatch"})
    path.write_text("[preferense]\n")
    with pytest.raises(ConfigError, match="did you mean 'preference'"):
        host(pack).base_settings()


def test_the_last_retoucher_is_kept(
    pack: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Settings | None] = []

    def from_profile(profile: str = "", settings: Settings | None = None) -> object:
        made.append(settings)
        return object()

    monkeypatch.setattr(host(pack).Retoucher, "from_profile", from_profile)
    monkeypatch.setattr(host(pack), "_kept", {})
    first = host(pack).retoucher_for(Settings(seed=1))
    assert host(pack).retoucher_for(Settings(seed=1)) is first
    assert host(pack).retoucher_for(Settings(seed=2)) is not first
    assert len(made) == 2


def test_with_the_real_agents(pack: types.ModuleType) -> None:
    """The embedded profile finds nothing in a plain picture and gives it back as it is."""
    pytest.importorskip("rapidocr")
    ramp = torch.linspace(0.2, 0.8, 160)[None, :, None].expand(120, -1, 3)
    batch = ramp[None].contiguous()
    out = call(pack, "RetoucherRetouch", image=batch, prompt="a plain wall")
    assert torch.equal(out["image"], batch)
    assert out["changed"].max() == 0
    assert json.loads(out["report"][0])["stop"] == "clean"
