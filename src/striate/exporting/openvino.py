"""OpenVINO's own format: an .xml file that describes the network, and a .bin file beside it with the weights."""

import re
import tempfile
from pathlib import Path
from typing import Any

from striate.errors import ExportError
from striate.files import read_regular, sha256
from striate.inference.exported_file import UNSEALED, Card, sealed
from striate.inference.runtimes import KEY, openvino_core


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
    core = openvino_core("exporting to OpenVINO")
    import openvino
    from openvino._offline_transformations import apply_moc_transformations  # what `openvino.convert_model` applies

    with tempfile.TemporaryDirectory(prefix="striate-") as folder:
        path = Path(folder) / "model.xml"
        weights_path = path.with_suffix(".bin")
        try:
            model = core.read_model(content)
            apply_moc_transformations(model, False)  # computes what is constant, and keeps 8-bit weights as they are
            for number, operation in enumerate(model.get_ordered_ops()):  # else numbered through the whole process
                operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
                notes = operation.get_rt_info()
                for note in [key for key in notes if key.startswith("fused_names")]:  # numbered like names
                    del notes[note]
                if not _is_named(operation):
                    for output in operation.outputs():
                        output.get_tensor().set_names(set())
            openvino.serialize(model, path, weights_path)
            weights = read_regular(weights_path)
            own = card.model_copy(update={"weights": sha256(weights), "checksum": UNSEALED})
            model.set_rt_info(own.model_dump_json(), ["framework", KEY])
            openvino.serialize(model, path, weights_path)
        except RuntimeError as error:
            raise ExportError(f"OpenVINO can't read {card.model}: {str(error).strip().splitlines()[-1]}") from error
        return sealed(re.sub(rb">\s+<", b"><", read_regular(path))), weights  # a seventh of the text is indentation


def _is_named(operation: Any) -> bool:
    """Tell whether users ask for its values by name: an input, or what gives an output."""
    targets = [target for output in operation.outputs() for target in output.get_target_inputs()]
    ends = [operation.get_type_name(), *(target.get_node().get_type_name() for target in targets)]
    return "Parameter" in ends or "Result" in ends
