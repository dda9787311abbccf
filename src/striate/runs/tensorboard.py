"""The same numbers as metrics.jsonl, for TensorBoard."""

from pathlib import Path
from typing import Any

from striate.errors import ArgumentError


class Log:
    """Event files in a folder.

    Raises:
        ArgumentError: if TensorBoard is not installed.
    """

    def __init__(self, folder: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ArgumentError(
                "--tensorboard needs the extra of that name: pip install 'striate[tensorboard]'."
            ) from None
        self.writer = SummaryWriter(str(folder))

    def write(self, step: int, metrics: dict[str, Any]) -> None:
        """Log an epoch's numbers at its last step."""
        for name, value in metrics.items():
            if name not in ("epoch", "step"):
                self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self) -> None:
        """End the event file."""
        self.writer.close()
