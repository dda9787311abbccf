"""The page of a network: what is in it, that it is safe to open, and that equal networks give equal pages."""

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from trained import digits_run, run, shapes
from web_page import page_of, small, trained_module

import striate
from striate import models
from striate.errors import ArgumentError
from striate.exporting.web import WebPage
from striate.exporting.web.network import gradient_graph
from striate.exporting.web.page import examples_of
from striate.inspection.features import features
from striate.runs import Trained

__all__ = ["digits_run", "run", "shapes"]

pytestmark = pytest.mark.slow

HOSTILE = ("</script><script>alert(1)</script>", "<!--", "a & 'b' \"c\"\u2028")
MOST = 6_000_000  # bytes of LeNet-5's page


@pytest.fixture(scope="module")
def made() -> WebPage:
    """The page of a small network for grey pictures, whose classes have hostile names."""
    return page_of(trained_module(small(), (1, 12, 10), HOSTILE))


def blob(made: WebPage, name: str) -> bytes:
    """Something that the page holds, unpacked."""
    found = re.search(rf'<script type="text/plain" id="{re.escape(name)}">([^<]*)</script>', made.content.decode())
    assert found is not None
    return gzip.decompress(base64.b64decode(found[1]))


def facts(made: WebPage) -> dict[str, Any]:
    found = re.search(r'id="facts">(.*?)</script>', made.content.decode())
    assert found is not None
    return json.loads(found[1])


def test_names_of_classes_stay_names(made: WebPage) -> None:
    text = made.content.decode()
    assert facts(made)["classes"] == list(HOSTILE)
    assert "alert(1)</script>" not in text
    assert text.count("<script") == text.count("</script>") == 7


def test_the_policy_names_its_scripts_and_nothing_is_asked_of_any_network(made: WebPage) -> None:
    text = made.content.decode()
    inline = re.findall(r"<(?:script|script type=\"module\"|style)>(.*?)</(?:script|style)>", text, re.DOTALL)
    assert len(inline) == 3
    for each in inline:
        digest = base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in made.policy
    assert made.policy.startswith("default-src 'none'; ")
    assert "unsafe-inline" not in made.policy
    assert "unsafe-eval'" not in made.policy.replace("'wasm-unsafe-eval'", "")
    assert made.policy.replace("'", "&#39;") in text
    own = text.replace(inline[1], "")  # ONNX Runtime names a web page in a warning
    asked = re.findall(r"https?://[^\s\"'<)]+|\ssrc=|\shref=|url\(|@import", own)
    assert set(asked) == {"http://www.w3.org/2000/svg"}  # the name of a namespace


def test_equal_networks_give_equal_pages(made: WebPage) -> None:
    assert page_of(trained_module(small(), (1, 12, 10), HOSTILE)).content == made.content


def test_lenet5_is_small_enough_to_send() -> None:
    lenet = trained_module(models.create("lenet5", 10, 1, 28), (1, 28, 28), tuple("0123456789"))
    examples = torch.randint(0, 256, (20, 28, 28, 1), dtype=torch.uint8), torch.arange(20) % 10
    made = page_of(lenet, examples)
    assert len(made.content) <= MOST
    found = facts(made)
    assert [each["name"] for each in found["layers"]] == ["c1", "s2", "c3", "s4", "c5", "f6", "output"]
    assert found["layers"][2]["filters"]["shape"] == [6, 5, 5]
    assert found["evidence"]["layer"] == 3
    assert not found["evidence"]["exact"]
    assert base64.b64decode(found["examples"][3]["pixels"]) == examples[0][3].numpy().tobytes()


@pytest.mark.parametrize("fit", ["crop", "letterbox", "stretch"])
def test_the_graph_gives_every_layers_maps_and_the_pixels(fit: Any) -> None:
    trained = trained_module(small(3), (3, 12, 10), ("a", "b", "c"), fit=fit)
    session = onnxruntime.InferenceSession(blob(page_of(trained), "network.onnx"))
    picture = np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    names = [each.name for each in session.get_outputs()]
    answer = dict(zip(names, session.run(None, {"image": picture[None]}), strict=True))
    assert np.abs(answer["pixels"][0].astype(int) - trained.preprocess.conform(picture)).max() <= 1
    seen = trained.preprocess.normalize(torch.from_numpy(answer["pixels"]))
    np.testing.assert_allclose(answer["logits"], trained.module(seen).detach(), atol=1e-5)
    for number, layer in enumerate(("2", "3", "5", "6", "8")):
        np.testing.assert_allclose(answer[f"layer{number}"], features(trained.module, seen, layer), atol=1e-5)


def test_photographs_are_chosen_and_never_put_into_the_page() -> None:
    trained = trained_module(small(3), (3, 12, 10), ("a", "b", "c"))
    examples = torch.randint(0, 256, (6, 12, 10, 3), dtype=torch.uint8), torch.arange(6) % 3
    found = facts(page_of(trained, examples))
    assert (found["drawn"], found["examples"]) == (False, [])
    assert found["evidence"]["exact"]


def test_the_gradient_is_pytorchs() -> None:
    module = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Sigmoid()),
        *(nn.Flatten(), nn.Linear(6 * 25, 8), nn.Tanh(), nn.Linear(8, 3)),
    ).eval()
    content = gradient_graph(module, "1", torch.rand(1, 1, 12, 12))
    assert content is not None
    maps, which = torch.rand(1, 4, 10, 10, requires_grad=True), torch.eye(3)[1:2]
    rest = module[2:](maps)
    (expected,) = torch.autograd.grad(rest[0, 1], maps)
    session = onnxruntime.InferenceSession(content)
    (found,) = session.run(None, {"maps": maps.detach().numpy(), "which": which.numpy()})
    np.testing.assert_allclose(found, expected.mean((2, 3)), atol=1e-6)


class Around(nn.Module):
    """Maps of a layer, multiplied with something that the layer does not make."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense((self.conv(x) * (x[:, :, :1, :1] - 0.5)).mean((2, 3)))


def test_a_gradient_that_depends_on_more_is_not_taken() -> None:
    assert gradient_graph(Around().eval(), "conv", torch.rand(1, 1, 12, 12)) is None


def test_a_run_brings_its_examples(digits_run: striate.Run, tmp_path: Path) -> None:
    made = striate.export(digits_run, "web", out=tmp_path / "digits.html")
    assert (made.format, made.agreement, made.bytes) == ("web", 1, made.path.stat().st_size)
    trained = Trained.of(digits_run)
    found = facts(WebPage(made.path.read_bytes(), "", None))  # type: ignore[arg-type]
    assert [each["label"] for each in found["examples"]] == list(range(10))
    assert (found["preparation"]["size"], found["preparation"]["centre"], found["evidence"]) == (8, "box", None)
    examples = examples_of(trained)
    assert examples is not None
    assert examples[0].shape[1:] == (8, 8, 1)
    told = made.path.read_text(encoding="utf-8")
    assert str(digits_run.path) not in told
    assert "359 images" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [({"int8": True}, "float32"), ({"input": "tensor"}, "any size"), ({"out": "page.onnx"}, "must end in .html")],
)
def test_what_a_page_cannot_be(run: striate.Run, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        striate.export(run, "web", **options)
