"""`striate serve`: a process that answers as `predict` does, ends with 0 at SIGTERM, and says what is wrong."""

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import WITHOUT_TORCH
from small_service import Client, picture
from trained import digits_run

from striate.cli import serve
from striate.exporting import export
from striate.runs import Run

__all__ = ["digits_run"]


@contextmanager
def serving(log: Path, *command: str) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """A service in a process of its own, once it answers; killed if it still runs after the block."""
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", "0"], stdout=out, stderr=subprocess.PIPE, text=True
        )
    assert process.stderr is not None
    try:
        said = ""
        while not said.startswith("Serving "):
            said = process.stderr.readline()
            assert said, f"ended with {process.wait()}"
        yield process, Client(int(said.rpartition(":")[2]))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.slow
def test_answers_are_those_of_predict_and_sigterm_loses_none(
    digits_run: Run, tmp_path: Path, striate: Callable[..., Any]
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(picture(90, (12, 9)))
    expected = json.loads(striate("predict", digits_run.path, file, "--json").out)["predictions"][0]
    command = ["-m", "striate", "serve", str(digits_run.path), "--engine", "torch"]
    with serving(tmp_path / "log", *command) as (process, client):
        _, answer = client.post("/predict", file.read_bytes())
        found = answer["predictions"][0]
        assert (found["class"], found["calibrated"]) == (expected["class"], expected["calibrated"])
        assert found["probabilities"] == pytest.approx(expected["probabilities"], rel=1e-4)
        assert client.ask("POST", "/explain", file.read_bytes())[2].startswith(b"<!doctype html>")
        status, headers, content = client.ask("POST", "/explain?show=gradients", file.read_bytes())
        assert (status, headers["content-type"], content[:4]) == (200, "image/png", b"\x89PNG")
        lost: list[BaseException] = []
        answered: list[int] = []

        def ask() -> None:
            while True:
                connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
                try:
                    connection.connect()
                except OSError:  # no more connections are taken
                    connection.close()
                    return
                try:
                    connection.request("POST", "/predict", file.read_bytes())
                    answered.append(connection.getresponse().status)
                except (OSError, http.client.HTTPException) as error:
                    lost.append(error)
                finally:
                    connection.close()

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for each in threads:
            each.start()
        time.sleep(0.5)
        process.terminate()
        assert process.wait(20) == 0
        for each in threads:
            each.join()
        assert set(answered) == {200}
        assert len(lost) <= 1  # between the last look at the system's queue and the end of the socket
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines if line["event"] != "request"] == ["leaving", "ended"]
    assert sum(line.get("path") == "/predict" for line in lines) == len(answered) + 1


@pytest.mark.slow
def test_an_exported_file_needs_no_pytorch(digits_run: Run, tmp_path: Path) -> None:
    file = tmp_path / "digits.onnx"
    export(digits_run, "onnx", out=file)
    with serving(tmp_path / "log", "-c", WITHOUT_TORCH, "serve", str(file)) as (process, client):
        status, answer = client.post("/predict", picture(90, (12, 9)))
        assert status == 200
        assert answer["model"] == "digits"
        assert client.post("/explain", picture())[0] == 404
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "Runs are named by their folder, and nowhere is none here"),
        (["{run}", "--engine", "tensorrt"], "unknown engine 'tensorrt'"),
        (["{run}", "--timeout", "5"], "is not a duration"),
        (["{run}", "--token", "a b"], "--token: expected"),
        (["{run}", "--host", "no.such.host.invalid"], "--host no.such.host.invalid: no such host"),
        (["{run}", "--port", "{taken}"], "is taken: choose another one with --port"),
        (["missing.onnx"], "can't read missing.onnx"),
    ],
)
def test_what_is_wrong_is_one_line(
    digits_run: Run, striate: Callable[..., Any], arguments: list[str], message: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        values = {"run": digits_run.path, "taken": taken.getsockname()[1]}
        port = [] if "--port" in arguments else ["--port", "0"]
        answer = striate("serve", *(each.format(**values) for each in arguments), *port)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.slow
def test_a_package_that_is_not_installed_is_named(
    digits_run: Run, striate: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "PACKAGES", ("starlette", "no_such_package"))
    answer = striate("serve", digits_run.path)
    assert answer.code == 2
    assert answer.err == "striate: serve needs no-such-package: pip install 'striate[serve]'.\n"
