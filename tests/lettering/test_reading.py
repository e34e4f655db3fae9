import logging
import socket

import numpy as np
import pytest

from retoucher.errors import InputError
from retoucher.lettering.reading import ReaderSettings, TextReader
from tests.lettering.pictures import sign


def test_lines_words_and_places(reader: TextReader) -> None:
    lines = reader.read(sign("FRESH COFFEE", "open daily"))
    assert [line.text for line in lines] == ["FRESH COFFEE", "open daily"]
    first = lines[0]
    assert first.confidence > 0.9
    assert [w.text for w in first.words] == ["FRESH", "COFFEE"]
    left, right = (w.quad_xy for w in first.words)
    # The board starts at 30, 30 and the letters 40, 30 further.
    assert abs(left[0, 0] - 70) < 20
    assert left[:, 0].max() <= right[:, 0].min() + 4
    assert 60 < first.quad_xy[:, 1].mean() < 130
    assert len(left) == 4
    assert len(first.words[0].char_confidences) == 5


def test_upside_down_text_starts_at_its_own_top_left(reader: TextReader) -> None:
    image = np.ascontiguousarray(sign("FRESH COFFEE")[::-1, ::-1])
    (line,) = reader.read(image)
    assert line.text == "FRESH COFFEE"
    assert line.quad_xy[0, 0] > line.quad_xy[1, 0]
    assert line.quad_xy[0, 1] > line.quad_xy[3, 1]


def test_quarter_turned_text_is_read(reader: TextReader) -> None:
    for turns in (1, 3):
        image = np.ascontiguousarray(np.rot90(sign("FRESH COFFEE"), turns))
        # The detector splits upright columns of letters, so the end of the line may be missing.
        assert any(line.text.startswith("FRESH C") for line in reader.read(image))


def test_support_knows_what_the_pixels_allow(reader: TextReader) -> None:
    (line,) = reader.read(sign("POLLICE"))
    assert reader.support(line, "POLLICE") == 1.0
    assert reader.support(line, "POLICE") < 0.05
    assert reader.support(line, "") == 0.0


def test_readings_are_cached_by_content_and_reproducible(reader: TextReader) -> None:
    image = sign("FRESH COFFEE")
    first = reader.read(image)
    assert reader.read(image.copy()) is first
    other = TextReader(ReaderSettings(cache_size=1)).read(image)
    assert [line.text for line in other] == [line.text for line in first]
    assert all(np.array_equal(a.quad_xy, b.quad_xy) for a, b in zip(first, other, strict=True))
    assert [line.confidence for line in other] == [line.confidence for line in first]


def test_the_cache_forgets_the_oldest() -> None:
    small = TextReader(ReaderSettings(cache_size=1))
    image = np.full((40, 60, 3), 200, np.uint8)
    first = small.read(image)
    small.read(image[:39])
    assert len(small._cache) == 1  # pyright: ignore[reportPrivateUsage]
    assert small.read(image) == first


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 3000), (3000, 1), (2, 2), (31, 33), (7, 900), (64, 64)]
)
def test_any_size_is_read(reader: TextReader, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (*shape, 3), np.uint8)
    for image in (noise, np.full((*shape, 3), 128, np.uint8)):
        for line in reader.read(image):
            assert np.isfinite(line.quad_xy).all()
            assert 0.0 <= line.confidence <= 1.0


def test_an_empty_picture_has_no_text(reader: TextReader) -> None:
    assert reader.read(np.zeros((0, 5, 3), np.uint8)) == ()


@pytest.mark.parametrize(
    "bad",
    [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3), np.float32)],
)
def test_what_is_no_rgb_picture_is_refused(reader: TextReader, bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="RGB picture"):
        reader.read(bad)


def test_no_network_and_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with caplog.at_level(logging.DEBUG):
        assert TextReader().read(sign("OPEN"))[0].text == "OPEN"
    assert not [r for r in caplog.records if "rapid" in r.name.lower()]
    assert capfd.readouterr().err == ""


def test_weights_are_named_with_their_digests(reader: TextReader) -> None:
    assert set(reader.weights) == {"PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"}
    assert all(len(d) == len("sha256:") + 64 for d in reader.weights.values())
    assert reader.version.startswith("rapidocr ")
