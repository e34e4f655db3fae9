"""Repair a picture over HTTP and follow its progress; nothing but the standard library.

retouch serve &
python examples/http_client.py picture.png fixed.png
"""

from __future__ import annotations

import argparse
import base64
import json
import mimetypes
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def main() -> int:
    """Send, follow, save; 1 where it failed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("picture", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--prompt", help="left out: what the picture's metadata says")
    options.add_argument("--url", default="http://127.0.0.1:8765")
    asked = options.parse_args()
    kind = mimetypes.guess_type(asked.picture.name)[0] or "application/octet-stream"
    data = base64.b64encode(asked.picture.read_bytes()).decode("ascii")
    body: dict[str, Any] = {"image": f"data:{kind};base64,{data}"}
    if asked.prompt is not None:
        body["prompt"] = asked.prompt
    try:
        job = json.loads(call(f"{asked.url}/v1/fix?wait=false", body))
        for name, told in events(asked.url + job["events_url"]):
            print(f"{name}: {told}", file=sys.stderr)
        done = json.loads(call(f"{asked.url}/v1/jobs/{job['id']}"))
        if done["state"] != "done":
            print(f"{done['state']}: {done['error']}", file=sys.stderr)
            return 1
        asked.out.write_bytes(call(asked.url + done["image_url"]))
    except urllib.error.HTTPError as error:  # 429: come back after its Retry-After
        print(f"{error.code}: {json.load(error)['detail']}", file=sys.stderr)
        return 1
    result = done["result"]
    print(f"{result['repaired']} repaired, {len(result['left'])} left: {asked.out}")
    return 0


def request(url: str, body: dict[str, Any] | None = None) -> urllib.request.Request:
    """With the key of the environment, where the service asks for one."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if key := os.environ.get("RETOUCH_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.Request(url, data, headers)


def call(url: str, body: dict[str, Any] | None = None) -> bytes:
    """The answer's body."""
    with urllib.request.urlopen(request(url, body), timeout=600) as answer:
        return answer.read()


def events(url: str) -> Iterator[tuple[str, str]]:
    """Server-sent events: (name, JSON), until the job has ended."""
    name = ""
    with urllib.request.urlopen(request(url), timeout=600) as stream:
        for raw in stream:
            field, _, value = raw.decode().strip().partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, value


if __name__ == "__main__":
    sys.exit(main())
