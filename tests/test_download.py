"""Downloads, from a server on this machine that can be told to misbehave."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from striate.download import download
from striate.errors import DataError

CONTENT = bytes(range(256)) * 2000


class Server(ThreadingHTTPServer):
    """Gives CONTENT to every request.

    Args:
        breaks: after how many bytes each of the next answers breaks off.
        ranges: whether it can give a part of the file.
        status: what it answers, if not the file.
        length: whether it says how long the file is.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.breaks: list[int] = []
        self.ranges = True
        self.status = 200
        self.length = True
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file.gz"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        content, start = self.server.content, 0
        if wanted and self.server.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if self.server.length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + self.server.breaks.pop(0) if self.server.breaks else len(content)
        self.wfile.write(content[start:end])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def is_content(path: Path) -> None:
    if path.read_bytes() != CONTENT:
        raise DataError("this is another file.")


def fetch(url: str, path: Path) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    download(url, path, verify=is_content, report=lambda done, total: told.append((done, total)), timeout=5)
    return told


def test_a_file_arrives_whole_and_under_its_name(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.gz"
    told = fetch(server.url, path)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["file.gz"]
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert server.asked == [None]


def test_a_broken_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.breaks = [100_000, 50_000]
    told = fetch(server.url, tmp_path / "file.gz")
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert {total for _, total in told} == {len(CONTENT)}
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.breaks, server.ranges = [100_000], False
    fetch(server.url, tmp_path / "file.gz")
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_server_that_does_not_say_the_length(server: Server, tmp_path: Path) -> None:
    server.length = False
    assert fetch(server.url, tmp_path / "file.gz")[-1] == (len(CONTENT), 0)


def test_what_is_there_stays_for_the_next_call(server: Server, tmp_path: Path) -> None:
    server.breaks = [1000] * 5
    with pytest.raises(DataError, match="the connection broke off after 5000 of 512000 bytes"):
        fetch(server.url, tmp_path / "file.gz")
    assert not (tmp_path / "file.gz").exists()
    fetch(server.url, tmp_path / "file.gz")
    assert server.asked[-1] == "bytes=5000-"
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


def test_a_part_that_is_already_whole_is_only_verified(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT)
    fetch(server.url, tmp_path / "file.gz")
    assert server.asked == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("part", [b"?" * 1000, b"?" * len(CONTENT), b"?" * 600_000])
def test_a_part_of_something_else_is_thrown_away(part: bytes, server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.gz.part").write_bytes(part)
    fetch(server.url, tmp_path / "file.gz")
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


def test_a_wrong_file_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>Please log in</html>"
    with pytest.raises(
        DataError, match=r"127\.0\.0\.1.*the downloaded file is not the expected one \(this is another file"
    ):
        fetch(server.url, tmp_path / "file.gz")
    assert list(tmp_path.iterdir()) == []
    assert len(server.asked) == 1


def test_a_refusal_is_told_and_not_repeated(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(DataError, match=r"file\.gz: the server answered 404 Not Found"):
        fetch(server.url, tmp_path / "file.gz")
    assert len(server.asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_no_server_is_told_at_once(tmp_path: Path) -> None:
    with Server() as closed:
        url = closed.url
    with pytest.raises(DataError, match="Connection refused"):
        fetch(url, tmp_path / "file.gz")


def test_a_place_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"can't write .*file/data\.gz"):
        fetch(server.url, tmp_path / "file" / "data.gz")
