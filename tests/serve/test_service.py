"""What the service answers, in this process; its workers are real processes."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("httpx2", reason="the test client needs httpx2")

from fastapi.testclient import TestClient

from retoucher.domain.codec import trace_from_json
from retoucher.serve import crew
from retoucher.serve.app import create_app
from retoucher.serve.settings import ServiceSettings
from retoucher.serve.work import worker
from tests.batch.pictures import DEFECT_BLUE, DIES, FAILS, HANGS, blotted, clean, troubled
from tests.serve.conftest import URL, Serving, data_url, png, upload


def finished(client: TestClient, id: str) -> dict[str, Any]:
    for _ in range(400):
        job = client.get(f"/v1/jobs/{id}").json()
        if job["state"] in ("done", "failed", "cancelled"):
            return job
        time.sleep(0.05)
    raise AssertionError(f"the job does not end: {job}")


def events_of(client: TestClient, id: str, after: int | None = None) -> list[tuple[int, str, Any]]:
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    text = client.get(f"/v1/jobs/{id}/events", headers=headers).text
    blocks = [
        dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        for block in text.strip().split("\n\n")
    ]
    return [(int(b["id"]), b["event"], json.loads(b["data"])) for b in blocks if b]


def test_form_and_json_find_the_same(client: TestClient):
    form = client.post("/v1/find", files=upload(blotted()), data={"prompt": "a cup"})
    body = client.post("/v1/find", json={"image": data_url(blotted()), "prompt": "a cup"})
    assert (form.status_code, body.status_code) == (200, 200)
    assert form.json()["result"] == body.json()["result"]
    result = form.json()["result"]
    assert (result["prompt"], result["severity"]) == ("a cup", 3)
    assert result["regions"][0]["category"] == "object_texture"


def test_fix_repairs_only_the_place_and_keeps_everything_retrievable(client: TestClient):
    answer = client.post("/v1/fix", files=upload(blotted()), data={"options": '{"seed": 5}'})
    assert answer.status_code == 200
    job = answer.json()
    assert job["result"]["repaired"] == 1
    image = client.get(job["image_url"])
    assert image.headers["content-type"] == "image/png"
    after = np.asarray(Image.open(io.BytesIO(image.content)))
    assert not (after[..., 2] == DEFECT_BLUE).any()
    assert np.array_equal(after[:8], blotted()[:8])
    trace = trace_from_json(client.get(job["trace_url"]).json())
    assert (trace.seed, len(trace.accepted)) == (5, 1)
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"


def test_the_picture_itself_in_another_format(client: TestClient):
    answer = client.post(
        "/v1/fix?response=image",
        json={"image": data_url(blotted()), "output_format": "WEBP", "only": ["object"]},
    )
    assert answer.headers["content-type"] == "image/webp"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.format == "WEBP"


def test_a_clean_picture_comes_back_byte_for_byte(client: TestClient):
    answer = client.post("/v1/fix?response=image", files=upload(clean()))
    assert answer.content == png(clean())


def test_own_regions_and_preferences(client: TestClient):
    region = {"box_xyxy": [2, 2, 12, 12]}
    found = client.post("/v1/find", json={"image": data_url(clean()), "regions": [region]})
    assert [r["box_xyxy"] for r in found.json()["result"]["regions"]] == [[2, 2, 12, 12]]
    skipped = client.post("/v1/fix", json={"image": data_url(blotted()), "skip": ["object"]})
    assert skipped.json()["result"]["stop"] == "nothing_repairable"
    outside = {"box_xyxy": [900, 2, 910, 12]}
    answer = client.post("/v1/find", json={"image": data_url(clean()), "regions": [outside]})
    assert (answer.status_code, "lies outside" in answer.json()["detail"]) == (422, True)


def test_progress_as_events(client: TestClient):
    begun = client.post("/v1/fix?wait=false", files=upload(blotted()))
    assert begun.status_code == 202
    id = begun.json()["id"]
    events = events_of(client, id)
    names = [name for _, name, _ in events]
    assert names[:3] == ["queued", "running", "round"]
    assert [n for n in names if n in ("diagnosed", "edit", "judged")][:3] == [
        "diagnosed", "edit", "judged",
    ]  # fmt: skip
    assert names[-1] == "done"
    assert [number for number, _, _ in events] == list(range(len(events)))
    judged = next(data for _, name, data in events if name == "judged")
    assert (judged["tool"], judged["outcome"]) == ("opencv-inpaint", "accepted")
    assert events_of(client, id, after=events[-3][0]) == events[-2:]
    assert events_of(client, id, after=events[-1][0]) == []


def test_a_finished_job_can_be_forgotten(client: TestClient):
    id = client.post("/v1/find", files=upload(clean())).json()["id"]
    assert client.delete(f"/v1/jobs/{id}").status_code == 204
    for path in ("", "/events", "/image", "/trace"):
        assert client.get(f"/v1/jobs/{id}{path}").status_code == 404


def test_a_job_without_picture_says_so(client: TestClient):
    id = client.post("/v1/find", files=upload(clean())).json()["id"]
    for path in ("image", "trace"):
        answer = client.get(f"/v1/jobs/{id}/{path}")
        assert (answer.status_code, "the job is done" in answer.json()["detail"]) == (409, True)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"image": "https://example.org/a.png"}, 422, "image: "),
        ({"image": "file:///etc/passwd"}, 422, "image: "),
        ({"image": "/etc/passwd"}, 422, "image: "),
        ({"image": "data:image/png;base64,@@@"}, 422, "is not valid base64"),
        ({"image": "data:image/png;base64,"}, 422, "the file is empty"),
        ({"image": "data:image/png;base64,aGVsbG8="}, 422, "picture: "),
        ({"image": data_url(clean(height=400, width=300))}, 422, "at most"),
        ({"image": data_url(clean()), "path": "/etc/x"}, 422, "path: Extra inputs"),
        ({"image": data_url(clean()), "prompt": 5}, 422, "prompt: "),
        ({"image": data_url(clean()), "rounds": 0}, 422, "rounds: "),
        ({"image": data_url(clean()), "only": ["hnad"]}, 422, "is no category"),
        ({"image": data_url(clean()), "output_format": "../x"}, 422, "output_format: "),
        ({"image": data_url(clean()), "regions": [{"box_xyxy": [5, 0, 5, 9]}]}, 422, "x0 < x1"),
        ({"image": data_url(clean()), "regions": []}, 422, "regions: "),
        ({}, 422, "image: Field required"),
        ([], 422, "body: "),
    ],
)
def test_bad_json_is_told_in_one_line(client: TestClient, body: Any, status: int, words: str):
    answer = client.post("/v1/fix", json=body)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


def test_bad_forms(client: TestClient):
    good, form = upload(clean()), "multipart/form-data"
    for arguments, status in (
        ({"files": good, "data": {"options": "[1]"}}, 422),
        ({"files": good, "data": {"options": "{"}}, 422),
        ({"files": good, "data": {"options": '{"image": "x"}'}}, 422),
        ({"files": good, "data": {"other": "x"}}, 422),
        ({"files": {"image": (None, "not a file")}}, 422),
        ({"files": {"image": ("a.png", b"", "image/png")}}, 422),
        ({"files": {"options": ("o.json", b"{}"), "image": ("a.png", b"x")}}, 400),
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415),
        ({"content": b"x", "headers": {"content-type": form}}, 400),
        ({"content": b"--b\r\n", "headers": {"content-type": f"{form}; boundary=b"}}, 422),
    ):  # fmt: skip
        answer = client.post("/v1/find", **arguments)  # type: ignore[arg-type]
        assert answer.status_code == status, (arguments, answer.text)
        assert isinstance(answer.json()["detail"], str)


def test_a_file_name_is_only_a_name(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    answer = client.post("/v1/fix", files=upload(blotted(), "../../../tmp/x\0.png"))
    assert answer.status_code == 200
    assert list(tmp_path.iterdir()) == []


def test_too_large_is_refused_before_it_is_read(client: TestClient):
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3)).astype(np.uint8)
    assert len(png(noise)) > 200_000
    answer = client.post("/v1/find", files=upload(noise))
    assert (answer.status_code, "bytes" in answer.json()["detail"]) == (413, True)

    sent = 0

    def endless() -> Any:
        nonlocal sent
        while sent < 50 * 2**20:
            sent += 2**16
            yield b"x" * 2**16

    headers = {"content-type": "application/json"}
    announced = client.post(
        "/v1/find", content=b"", headers=headers | {"content-length": str(10**12)}
    )
    assert announced.status_code == 413
    assert client.post("/v1/find", content=endless(), headers=headers).status_code == 413


def test_crash_and_bug_cost_their_job_only(client: TestClient):
    crash = client.post("/v1/find", files=upload(troubled(DIES)))
    assert (crash.status_code, "process ended" in crash.json()["detail"]) == (500, True)
    bug = client.post("/v1/find", files=upload(troubled(FAILS)))
    assert (bug.status_code, "internal error" in bug.json()["detail"]) == (500, True)
    assert client.post("/v1/find", files=upload(clean())).status_code == 200
    assert "retouch_workers_replaced 1.0" in client.get("/v1/metrics").text


def test_slots_queue_and_cancel(serving: Serving, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crew, "GRACE_S", 0.2)
    client = serving(ServiceSettings(queue=1))
    jobs = [
        client.post("/v1/fix?wait=false", files=upload(troubled(HANGS, i))).json()["id"]
        for i in range(2)
    ]
    full = client.post("/v1/fix?wait=false", files=upload(clean()))
    assert full.status_code == 429
    assert int(full.headers["retry-after"]) > 0
    while client.get(f"/v1/jobs/{jobs[0]}").json()["state"] == "queued":
        time.sleep(0.05)
    assert client.get("/v1/health").json() | {"version": ""} == {
        "status": "ok", "version": "", "workers": 1, "ready": 1, "queued": 1, "running": 1,
        "detail": None,
    }  # fmt: skip
    for id in reversed(jobs):
        assert client.delete(f"/v1/jobs/{id}").status_code == 204
    assert [finished(client, id)["state"] for id in jobs] == ["cancelled", "cancelled"]
    assert events_of(client, jobs[1])[-1][1] == "cancelled"
    assert client.post("/v1/find", files=upload(clean())).status_code == 200


def test_a_job_that_takes_too_long(serving: Serving, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crew, "GRACE_S", 0.1)
    client = serving(ServiceSettings(job_timeout_s=2.0))
    assert client.post("/v1/find?wait=false", files=upload(clean())).status_code == 202
    answer = client.post("/v1/fix", files=upload(troubled(HANGS)))
    assert (answer.status_code, "took longer than 2 s" in answer.json()["detail"]) == (504, True)


def test_the_api_key(serving: Serving):
    key = "0123456789abcdef"
    client = serving(ServiceSettings(api_key=key, host="0.0.0.0"))
    assert client.get("/v1/health").status_code == 200
    assert client.get("/v1/metrics").status_code == 401
    for headers in (
        {}, {"X-API-Key": key[:-1]}, {"X-API-Key": ""}, {"Authorization": key},
        {"Authorization": "Bearer x"}, {"Authorization": "Bearer "},
    ):  # fmt: skip
        answer = client.post("/v1/find", files=upload(clean()), headers=headers)
        assert answer.status_code == 401, headers
        assert answer.headers["www-authenticate"] == "Bearer"
    for headers in ({"X-API-Key": key}, {"Authorization": f"bearer {key}"}):
        assert client.get("/v1/metrics", headers=headers).status_code == 200
        elsewhere = headers | {"Host": "pictures.example:8765"}
        assert client.get("/v1/metrics", headers=elsewhere).status_code == 200


def test_pages_of_other_origins_are_refused(client: TestClient):
    for headers, status in (
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example:8765"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": URL}, 200),
        ({"Host": "localhost:8765"}, 200),
        ({"Host": "[::1]:8765"}, 200),
    ):
        assert client.get("/v1/health", headers=headers).status_code == status, headers


def test_a_service_whose_workers_cannot_start_says_so(plugin_path: Path):
    settings = ServiceSettings()
    app = create_app(settings, worker(None, settings.max_pixels, _cannot))  # type: ignore[arg-type]
    with TestClient(app, base_url=URL) as client:
        for _ in range(200):
            answer = client.get("/v1/health")
            if answer.status_code == 503:
                break
            time.sleep(0.05)
        assert answer.json()["status"] == "broken"
        assert "no models" in answer.json()["detail"]
        failed = client.post("/v1/find", files=upload(clean()))
        assert (failed.status_code, "no worker can start" in failed.json()["detail"]) == (500, True)


def _cannot(settings: object) -> Any:
    raise RuntimeError("no models")


def test_openapi_is_whole_and_its_examples_work(client: TestClient):
    document = client.get("/v1/openapi.json").json()
    assert "$defs" not in json.dumps(document)
    for kind in ("find", "fix"):
        body = document["paths"][f"/v1/{kind}"]["post"]["requestBody"]["content"]
        example = body["application/json"]["example"]
        assert client.post(f"/v1/{kind}", json=example).status_code == 200
        options = body["multipart/form-data"]["schema"]["properties"]["options"]["example"]
        answer = client.post(f"/v1/{kind}", files=upload(clean()), data={"options": options})
        assert answer.status_code == 200


def test_metrics_count(client: TestClient):
    client.post("/v1/find", files=upload(clean()))
    text = client.get("/v1/metrics").text
    for words in (
        'retouch_requests_total{route="/v1/find",status="200"}',
        'retouch_jobs_total{kind="find",state="done"}',
        'retouch_job_seconds_bucket{kind="find",le="+Inf"}',
        "retouch_jobs_queued 0.0",
        "retouch_workers_ready 1.0",
    ):
        assert words in text, words
