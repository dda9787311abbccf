"""OpenAPI 3.1 description of the service."""

from typing import Any

from striate.serving import protocol
from striate.serving.endpoints import SHOWN
from striate.serving.network import Network
from striate.serving.settings import Settings
from striate.version import __version__

_JSON = "application/json"
_ERROR = {"$ref": "#/components/schemas/Error"}
_PICTURE = {"type": "string", "contentMediaType": "application/octet-stream"}
_REASONS = {
    400: "Something in the request is not what it should be; the field is named.",
    401: "The token is missing or another one.",
    404: "Nothing at this address.",
    408: "The body did not come in time.",
    413: "The body is too large, has too many images, or an image has too many pixels.",
    415: "The body is of another kind.",
    503: "No room: ask again after the seconds that Retry-After says.",
}


def document(network: Network, settings: Settings) -> dict[str, Any]:
    """Describe the service of a network."""
    model = f"/v2/models/{network.name}"
    paths = {
        "/predict": {"post": _predict(network, settings)},
        f"{model}/infer": {"post": _infer()},
        "/": {"get": _get("The page for people.", "text/html")},
        "/v2": {"get": _get("The server, in the Open Inference Protocol.")},
        "/v2/health/live": {"get": _get("The process lives.")},
        "/v2/health/ready": {"get": _get("Requests are welcome.", also=(503,))},
        model: {"get": _get("The network, in the Open Inference Protocol.")},
        f"{model}/ready": {"get": _get("Requests are welcome.", also=(503,))},
        "/metrics": {"get": _get("Metrics for Prometheus.", "text/plain")},
        "/openapi.json": {"get": _get("This description.")},
    }
    if network.trained is not None:
        paths["/explain"] = {"post": _explain()}
    secured = settings.token is not None
    if secured:
        for path, methods in paths.items():
            for each in methods.values():
                each["responses"]["401"] = _refused(401)
            if path.startswith("/v2/health/"):
                methods["get"]["security"] = []
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Striate: {network.title}", "version": __version__, "description": _about(network)},
        "paths": paths,
        "components": _components(secured),
        **({"security": [{"token": []}]} if secured else {}),
    }


def _about(network: Network) -> str:
    height, width, channels = network.shape
    kind = "grey" if channels == 1 else "colour"
    return f"Classifies images into {len(network.classes)} classes. Input of the network: {height}×{width}, {kind}."


def _components(secured: bool) -> dict[str, Any]:
    error = {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {"type": "string", "description": "The reason, a sentence."},
            "field": {"type": "string", "description": "The part of the request that is to blame."},
        },
        "additionalProperties": False,
    }
    infer = protocol.Infer.model_json_schema(ref_template="#/components/schemas/{model}")
    parts = infer.pop("$defs", {})
    schemes = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}} if secured else {}
    return {"schemas": {"Error": error, "Infer": infer, **parts}, **schemes}


def _refused(status: int) -> dict[str, Any]:
    headers = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}} if status == 503 else {}
    return {
        "description": _REASONS[status],
        "content": {_JSON: {"schema": _ERROR}},
        **({"headers": headers} if headers else {}),
    }


def _responses(kind: str, schema: dict[str, Any], refusals: tuple[int, ...]) -> dict[str, Any]:
    found = {"200": {"description": "The answer.", "content": {kind: {"schema": schema}}}}
    return found | {str(status): _refused(status) for status in refusals}


def _get(summary: str, kind: str = _JSON, also: tuple[int, ...] = ()) -> dict[str, Any]:
    schema = {"type": "object"} if kind == _JSON else {"type": "string"}
    responses = _responses(kind, schema, ())
    responses |= {str(status): {"description": "Not now.", "content": {kind: {"schema": schema}}} for status in also}
    return {"summary": summary, "responses": responses}


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _files() -> dict[str, Any]:
    several = {"type": "object", "properties": {"images": {"type": "array", "items": _PICTURE, "minItems": 1}}}
    return {
        "required": True,
        "content": {
            "image/*": {"schema": _PICTURE},
            "application/octet-stream": {"schema": _PICTURE},
            "multipart/form-data": {"schema": several},
        },
    }


def _predict(network: Network, settings: Settings) -> dict[str, Any]:
    share = {"type": "number", "minimum": 0, "maximum": 1}
    prediction = {
        "type": "object",
        "required": ["path", "class", "probability", "probabilities", "calibrated"],
        "properties": {
            "path": {"type": "string"},
            "class": {"type": "string"},
            "probability": share,
            "probabilities": {"type": "object", "additionalProperties": share},
            "calibrated": {"type": "boolean"},
            "set": {"type": "array", "items": {"type": "string"}},
            "coverage": share,
        },
    }
    answer = {
        "type": "object",
        "required": ["model", "predictions", "milliseconds"],
        "properties": {
            "model": {"type": "string"},
            "predictions": {"type": "array", "items": prediction, "maxItems": settings.max_images},
            "milliseconds": {"type": "object", "additionalProperties": {"type": "number"}},
        },
    }
    top = {"type": "integer", "minimum": 1, "default": 5}
    coverage = {"type": "number", "minimum": 0.5, "maximum": 0.99}
    return {
        "summary": f"Classes and probabilities of an image, or of up to {settings.max_images}.",
        "parameters": [
            _parameter("top", top, "How many of the most probable classes to list."),
            _parameter("coverage", coverage, "Also give sets that hold the right class so often."),
        ],
        "requestBody": _files(),
        "responses": _responses(_JSON, answer, (400, 408, 413, 415, 503)),
    }


def _explain() -> dict[str, Any]:
    shown = {"type": "string", "enum": list(SHOWN), "default": SHOWN[0]}
    responses = _responses("text/html", {"type": "string"}, (400, 408, 413, 415, 503))
    responses["200"]["content"]["image/png"] = {"schema": _PICTURE}
    return {
        "summary": "A page that explains the prediction for an image, or one attribution as a PNG.",
        "parameters": [_parameter("show", shown, "The page, or the attribution of the PNG.")],
        "requestBody": _files(),
        "responses": responses,
    }


def _infer() -> dict[str, Any]:
    answer = {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {"model_name": {"type": "string"}, "outputs": {"type": "array"}, "id": {"type": "string"}},
    }
    header = {"name": protocol.LENGTH, "in": "header", "required": False, "schema": {"type": "integer", "minimum": 0}}
    responses = _responses(_JSON, answer, (400, 408, 413, 415, 503))
    responses["200"]["content"]["application/octet-stream"] = {"schema": _PICTURE}
    return {
        "summary": "Logits and probabilities, in the Open Inference Protocol.",
        "parameters": [{**header, "description": "Bytes of JSON in the body; binary tensor data follow."}],
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {"schema": {"$ref": "#/components/schemas/Infer"}},
                "application/octet-stream": {"schema": _PICTURE},
            },
        },
        "responses": responses,
    }
