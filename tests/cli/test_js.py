"""`webmqconnect js`: the files that it writes, and what it prints."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from webmqconnect_async.hub._browser import FILES

from .conftest import invoke_here


def test_the_files_and_the_output(tmp_path: Path) -> None:
    folder = tmp_path / "site" / "static"
    ended = invoke_here("js", "--out", str(folder))
    assert (ended.status, ended.stderr) == (0, "")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    digest = base64.b64encode(hashlib.sha384((folder / "webmq.min.js").read_bytes()).digest()).decode()
    paths = [str(folder / name) for name in FILES]
    assert ended.stdout.splitlines() == [*paths, f'webmq.min.js: integrity="sha384-{digest}"']


def test_earlier_files_are_replaced_and_others_kept(tmp_path: Path) -> None:
    for name in ("webmq.js", "site.js"):
        (tmp_path / name).write_text("old")
    assert invoke_here("js", "--out", str(tmp_path)).status == 0
    assert (tmp_path / "webmq.js").read_bytes() == FILES["webmq.js"]
    assert (tmp_path / "site.js").read_text() == "old"


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = invoke_here("js", "--out", str(tmp_path / "file" / "static"))
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == f"error: {tmp_path}/file/static: Not a directory\n"
