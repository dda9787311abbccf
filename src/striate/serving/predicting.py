"""`POST /predict`: classes and probabilities of image files, as `striate predict --json` prints them."""

import math
from dataclasses import replace
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from striate.evaluation.prediction import predictions_of
from striate.serving.bodies import Receiver, files_of
from striate.serving.refusals import RefusedError
from striate.serving.responses import json_response
from striate.serving.service import Service

TOP = 5  # classes that are listed unless `top` says otherwise


class Predicting:
    """The endpoint.

    Args:
        service: answers.
        receiver: of bodies.
    """

    def __init__(self, service: Service, receiver: Receiver):
        self._service, self._receiver = service, receiver
        self._network = service.network

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        top, coverage = self._parameters(request)
        self._service.batcher.check()
        body = await self._receiver.receive(request)
        try:
            kind = request.headers.get("content-type", "")
            names, files = files_of(kind, body, self._service.settings.max_images)
            request.scope["images"] = len(files)
            answer = await self._service.answer(len(files), partial(self._network.decoded, files, "images"))
        finally:
            self._receiver.release(len(body))
        network, calibrated = self._network, self._network.uncalibrated is None
        found = predictions_of(names, network.classes, answer.logits, answer.probabilities, top, calibrated)
        if coverage is not None:
            sets = network.sets(answer.logits, coverage)
            found = [
                replace(each, set=tuple(network.classes[place] for place in places), coverage=coverage)
                for each, places in zip(found, sets, strict=True)
            ]
        values = {"model": network.name, "predictions": [each.to_dict() for each in found]}
        return json_response({**values, "milliseconds": answer.milliseconds})

    def _parameters(self, request: Request) -> tuple[int, float | None]:
        """The number of classes to list, and the coverage of prediction sets if they are asked for."""
        values = known_parameters(request, ("coverage", "top"))
        most = len(self._network.classes)
        try:
            top = min(int(values.get("top", TOP)), most)
        except ValueError:
            top = 0
        if top < 1:
            raise RefusedError(400, "expected how many classes to list, a number from 1 on.", "top")
        if "coverage" not in values:
            return top, None
        try:
            coverage = float(values["coverage"])
        except ValueError:
            coverage = math.nan
        if not 0.5 <= coverage <= 0.99:
            raise RefusedError(400, "expected a share from 0.5 to 0.99, such as 0.95.", "coverage")
        if self._network.uncalibrated:
            raise RefusedError(400, self._network.uncalibrated, "coverage")
        return top, coverage


def known_parameters(request: Request, known: tuple[str, ...]) -> dict[str, str]:
    """The parameters in a request's address.

    Raises:
        RefusedError: if one of them is not known.
    """
    if not request.scope["query_string"]:
        return {}
    values = dict(request.query_params)
    for name in values:
        if name not in known:
            raise RefusedError(400, f"no such parameter; there are {' and '.join(known)}.", name)
    return values
