"""Models by name: perceivers, baselines, exported weights and training runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from retoucher import plugins
from retoucher.agents import FloatArray, Perceiver
from retoucher.data.sample import Sample
from retoucher.errors import InputError
from retoucher.evaluation.baselines import BASELINES
from retoucher.evaluation.perception import Predict
from retoucher.perception.fusion import FusedPerceiver
from retoucher.perception.saliency import SaliencyPerceiver, SaliencySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Something that makes maps.

    Attributes:
        name: of its row.
        predict: see `Predict`.
        about: what ran, as plain values, for the record.
    """

    name: str
    predict: Predict
    about: dict[str, Any]


def named_model(name: str, *, prompt: bool = True) -> Model:
    """The model that a name, or the path of a folder, stands for.

    Args:
        name: a baseline (see `BASELINES`); a perceiver, or several joined by "+", which speak
            together as in the product; a folder of exported weights (run.json), or of a training
            run (recipe.toml and best.ckpt; needs torch).
        prompt: False: perceivers get no prompt.

    Raises:
        InputError: the folder holds neither.
        PluginError: there is no such perceiver, or it cannot be started.
        MissingDependencyError: a training run without torch.
    """
    if name in BASELINES:
        return Model(name=name, predict=BASELINES[name], about={"baseline": name})
    folder = Path(name)
    if folder.is_dir():
        if (folder / "run.json").is_file():
            return _perceiving(
                name, SaliencyPerceiver(SaliencySettings(weights=str(folder))), prompt
            )
        if (folder / "recipe.toml").is_file():
            return _training_run(folder, prompt)
        raise InputError(f"{folder}: holds no exported weights (run.json) and no training run")
    members = tuple(plugins.create("perceiver", member) for member in name.split("+"))
    return _perceiving(name, members[0] if len(members) == 1 else FusedPerceiver(members), prompt)


def _perceiving(name: str, perceiver: Perceiver, prompt: bool) -> Model:
    def predict(sample: Sample) -> FloatArray:
        words = sample.prompt if prompt else ""
        return perceiver.perceive(sample.load_rgb(), words).values_hw

    return Model(name=name, predict=predict, about=asdict(perceiver.info))


def _training_run(folder: Path, prompt: bool) -> Model:
    from retoucher.train.extras import need

    need("torch", "a training run", "torch")
    from dataclasses import replace

    from retoucher.train.perception import predict as torch_predict
    from retoucher.train.recipe import trained

    recipe, (net, _, tokenizer) = trained(folder)

    def predict(sample: Sample) -> FloatArray:
        shown = sample if prompt else replace(sample, prompt="")
        return torch_predict(net, shown, tokenizer, recipe.long_side_px)

    about = {"run": str(folder), "preset": recipe.preset, "long_side_px": recipe.long_side_px}
    return Model(name=str(folder), predict=predict, about=about)
