"""OpenVINO's own format: an .xml file that describes the network, and a .bin file beside it with the weights."""

import tempfile
from pathlib import Path

from striate.errors import ExportError
from striate.files import read_regular, sha256
from striate.inference.exported_file import UNSEALED, Card, sealed
from striate.inference.runtimes import KEY, imported_openvino


def converted(content: bytes, card: Card) -> tuple[bytes, bytes]:
    """Convert an ONNX file to OpenVINO's format; equal files give equal bytes.

    Args:
        content: the file.
        card: what the file says about itself.

    Returns:
        The .xml file and the .bin file.

    Raises:
        ExportError: if OpenVINO can't read it.
    """
    openvino = imported_openvino("exporting to OpenVINO")
    with tempfile.TemporaryDirectory(prefix="striate-") as folder:
        path = Path(folder) / "model.xml"
        weights_path = path.with_suffix(".bin")
        try:
            core = openvino.Core()
            openvino.save_model(core.read_model(content), path, compress_to_fp16=False)
            model = core.read_model(read_regular(path), read_regular(weights_path))
            for number, operation in enumerate(model.get_ordered_ops()):  # else numbered through the whole process
                operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
            openvino.serialize(model, path, weights_path)
            weights = read_regular(weights_path)
            own = card.model_copy(update={"weights": sha256(weights), "checksum": UNSEALED})
            model.set_rt_info(own.model_dump_json(), ["framework", KEY])
            openvino.serialize(model, path, weights_path)
        except RuntimeError as error:
            raise ExportError(f"OpenVINO can't read {card.model}: {str(error).strip().splitlines()[-1]}") from error
        return sealed(read_regular(path)), weights
