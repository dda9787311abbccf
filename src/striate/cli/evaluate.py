"""`striate evaluate`: accuracy and other metrics of a run."""

from striate.cli.console import say, show, show_json
from striate.cli.options import Device, Json, OtherData, RunFolder, TestTimeAugmentation


def evaluate(
    run: RunFolder,
    data: OtherData = None,
    tta: TestTimeAugmentation = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Measure a run on images it was not trained on: accuracy, errors, calibration, and every class."""
    from striate import evaluation

    result = evaluation.evaluate(run, data, device=device, tta=tta)
    for note in result.notes:
        say(note)
    if json:
        show_json(result.to_dict())
    else:
        show(result.text())
