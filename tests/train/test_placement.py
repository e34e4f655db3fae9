"""Accelerate: one process computes what plain torch does, two share their gradients."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate", reason="needs accelerate (extra train)")

from retoucher.data.ours import write_labels  # noqa: E402
from retoucher.perception.compact import build_compact  # noqa: E402
from retoucher.perception.tensors import to_tensor  # noqa: E402
from retoucher.train.batches import BatchSource  # noqa: E402
from retoucher.train.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from retoucher.train.losses import perception_loss  # noqa: E402
from retoucher.train.recipe import build_model, load_groups, read_recipe, run_recipe  # noqa: E402
from tests.train.test_recipe import COMMON, COMPACT, TINY  # noqa: E402
from tests.train.test_training import sample  # noqa: E402

RUN = """
import os, shutil, sys
from pathlib import Path
from retoucher.train.recipe import run_recipe
file = Path(sys.argv[1])
for stop_at in map(int, sys.argv[2:]):
    # A negative step: begin anew, as --restart does.
    print(run_recipe(file, report=print, stop_at=abs(stop_at), restart=stop_at < 0))
    if os.environ["RANK"] == "0":
        shutil.copy(file.parent / "run" / "last.ckpt", file.parent / f"after{stop_at}.ckpt")
"""


def prepared(folder: Path, device: str) -> Path:
    """Data, first weights and a recipe without dropout or MixStyle in a folder."""
    samples = [replace(sample(i), prompt=f"a square {i}") for i in range(12)]
    write_labels(samples, folder / "set")
    torch.manual_seed(0)
    save_checkpoint({"average": build_compact(TINY).state_dict()}, folder / "start.ckpt")
    extra = f'device = "{device}"\nstart = "{folder}/start.ckpt"'
    quiet = COMPACT.replace("heads = 2", "heads = 2, dropout = 0.0")
    text = COMMON.format(folder=folder, extra=extra) + "style_chance = 0.0\n" + quiet
    text = text.replace("evaluate_every = 2", "evaluate_every = 3")
    file = folder / "recipe.toml"
    file.write_text(text, "utf-8")
    return file


def launched(file: Path, processes: int, *stops: int) -> list[str]:
    """Output of the processes that `accelerate launch --cpu` would start, which run the recipe to
    each of the steps in turn."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", RUN, str(file), *map(str, stops)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "ACCELERATE_USE_CPU": "true",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "OMP_NUM_THREADS": "1",
                "WORLD_SIZE": str(processes),
                "LOCAL_WORLD_SIZE": str(processes),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
            },
        )
        for rank in range(processes)
    ]
    said = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0] * processes, said
    return said


def test_one_process_is_the_same_with_and_without_accelerate(tmp_path: Path) -> None:
    weights = []
    for device in ("cpu", "auto"):
        (tmp_path / device).mkdir()
        file = prepared(tmp_path / device, device)
        if device == "cpu":
            run_recipe(file, report=lambda _line: None, stop_at=2)
        else:
            launched(file, 1, 2)
        weights.append(load_checkpoint(tmp_path / device / "run" / "last.ckpt")["net"])
    assert all(torch.equal(v, weights[1][k]) for k, v in weights[0].items())


def test_two_processes_average_their_gradients(tmp_path: Path) -> None:
    """Their first step is along both batches' mean gradient, taken by hand here; and a run that
    pauses goes on as if it had not."""
    file = prepared(tmp_path, "auto")
    said = launched(file, 2, 1, 3, -3)
    assert "goes on at step 1" in said[0]
    assert "pictures" not in said[1]
    first, resumed, whole = (load_checkpoint(tmp_path / f"after{n}.ckpt") for n in (1, 3, -3))
    # After one step AdamW's first moment is a tenth of the (clipped) gradient.
    state = first["optimiser"]["state"]
    expected = mean_gradients(file)
    assert len(state) == len(expected) > 10
    for number, gradient in zip(sorted(state), expected, strict=True):
        assert torch.allclose(state[number]["exp_avg"], 0.1 * gradient, rtol=1e-3, atol=1e-8)
    assert (first["step"], resumed["step"], whole["step"]) == (1, 3, 3)
    assert all(torch.equal(v, whole["net"][k]) for k, v in resumed["net"].items())
    assert whole["best"] == resumed["best"] > 0


def mean_gradients(file: Path) -> list[torch.Tensor]:
    """Clipped mean gradients of batches 0 and 1, in the optimiser's order of weights."""
    recipe = read_recipe(file)
    net, trunk, tokenizer = build_model(recipe)
    groups, _ = load_groups(recipe)
    source = BatchSource(groups, recipe.batch, recipe.seed)
    net.train()
    for number in (0, 1):
        batch = source.batch(number)
        torch.manual_seed(recipe.seed * 1_000_003 + number)
        encoded = [tokenizer.encode(p) for p in batch.prompts]
        ids, seen = (torch.stack([to_tensor(e[i]) for e in encoded]) for i in (0, 1))
        logits = net(batch.image_bchw, batch.valid_bhw, net.encode_text(ids, seen), seen).logits_bhw
        terms = perception_loss(
            logits, batch.truth_bhw, batch.truth_valid_bhw, batch.parts, recipe.losses
        )
        (terms.total / 2).backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.schedule.clip_norm)
    slow = [p for p in trunk.parameters() if p.requires_grad]
    fast = [p for n, p in net.named_parameters() if not n.startswith("image.")]
    return [p.grad for p in (*slow, *fast) if p.grad is not None]
