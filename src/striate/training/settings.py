"""Settings of a training: what a recipe consists of."""

from typing import Any, Literal, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from striate.augmentation import parse, views
from striate.data import Dataset
from striate.errors import ArgumentError, unknown
from striate.training.plan import Plan

FEW_SAMPLES = 10_000


Loss = Literal["cross-entropy", "map"]


class Recipe(BaseModel):
    """Settings of a training.

    What is not given is left to the model: `striate.train("lenet5", data, Recipe(epochs=5))` changes the epochs of
    LeNet-5's `modern` recipe and nothing else. The defaults below hold for a model that has no recipe of its own.

    Raises:
        ArgumentError: for an unknown setting or a value out of range, naming it.

    >>> recipe = striate.Recipe(epochs=3, optimizer="adamw", learning_rate=0.001)
    >>> recipe.epochs, recipe.batch_size, recipe.replace(epochs=5).epochs
    (3, 64, 5)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field("custom", description="what the recipe is called")
    epochs: int = Field(10, ge=1, description="passes over the training data")
    steps: str = Field("", description="number of steps, instead of epochs: '3752', or as a run with a budget wrote it")
    budget: float = Field(0.0, ge=0, description="seconds of training, instead of epochs; 0 for none")
    batch_size: int = Field(64, ge=1, description="samples a step")
    optimizer: Literal["sgd", "muon", "adamw", "nadam"] = Field("sgd", description="sgd is with momentum")
    learning_rate: float = Field(0.02, gt=0, description="the schedule's peak")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd and muon")
    nesterov: bool = Field(True, description="look ahead with sgd's momentum")
    weight_decay: float = Field(5e-4, ge=0, description="on weights, not on biases or scales")
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="decay after warm-up")
    warmup: float = Field(0.2, ge=0, le=1, description="share of the steps in which the learning rate rises")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")
    clip_norm: float = Field(5.0, ge=0, description="the largest norm of the gradient; 0 for no limit")
    early_dropout: float = Field(1.0, ge=0, le=1, description="share of the steps, from the first, with dropout on")
    loss: Literal["auto", "cross-entropy", "map"] = Field("auto", description="auto: what the model was published with")
    map_penalty: float = Field(10.0, gt=0, description="j, the rubbish class's penalty in LeNet-5's MAP loss")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the device has it and the network is large enough"
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: each class counts the same, however many images it has"
    )
    head: Literal["trained", "fitted"] = Field(
        "trained", description="fitted: the last layer is first fitted to the features of the training images"
    )
    held_out: float = Field(
        0.0, ge=0, le=0.5, description="share of the training images that tell whether training beat the fitted head"
    )
    calibration: float = Field(
        0.0, ge=0, le=0.5,
        description="share of the training images that calibrate the probabilities, at most 5,000, where no others can",
    )  # fmt: skip
    freeze_norms: bool = Field(False, description="keep batch normalisation as the weights bring it")
    freeze_backbone: bool = Field(False, description="train the last layer alone, the others being loaded weights")
    first_layer_rate: float = Field(
        1.0, gt=0, le=1, description="the first layer's learning rate as a share of the last one's (discriminative)"
    )
    augment: str = Field("auto", description="an augmentation policy; auto: flips and shifts where the data allows")
    tta: str = Field(
        "none", description="test-time augmentation: none, flip, shifts, ten-crop, several with commas, or auto"
    )
    shards: int = Field(
        0, ge=0,
        description="parts of a batch, each computed by itself, for any number of processes that divides it; 0: 4 on "
        "several processes, else 1",
    )  # fmt: skip
    sync: Literal["auto", "exact", "ddp"] = Field(
        "auto", description="exact: equal weights on any number of processes; ddp: faster; auto: ddp on GPUs"
    )
    shuffle_buffer: int = Field(
        0, ge=0,
        description="of tar shards: images that each next one is drawn from, the shards being read one after another; "
        "0: from all images",
    )  # fmt: skip
    seed: int = Field(0, ge=0, description="random seed of weights, order, augmentation and dropout")

    def __init__(self, **settings: Any):
        unknown_names = set(settings) - set(type(self).model_fields)
        if unknown_names:
            raise unknown("recipe setting", min(unknown_names), type(self).model_fields)
        if settings.get("schedule") == "one-cycle":  # the name of before, which means another schedule in PyTorch
            settings["schedule"] = "linear"
        try:
            super().__init__(**settings)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ArgumentError(f"recipe setting {field}={first['input']!r}: {first['msg']}.") from None
        if self.augment != "auto":
            parse(self.augment)
        if self.tta != "auto":
            views(self.tta)
        if self.steps and Plan.parse(self.steps).steps < 1:
            raise ArgumentError("recipe setting steps=0: at least 1 step is needed.")
        if self.held_out and self.head == "trained":
            raise ArgumentError("recipe setting held_out is about a fitted head: give head=fitted, too.")
        if self.steps and self.budget:
            raise ArgumentError("recipe settings steps and budget both say how long to train: give one of them.")

    def replace(self, **settings: Any) -> Self:
        """The same recipe with some settings changed; text is read as the setting's own type."""
        return type(self)(**{**self.model_dump(), **settings})

    def over(self, base: Self) -> Self:
        """Return `base` with the settings that were given here."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return base.replace(**{"name": self.name, **given})

    @property
    def only_fits_head(self) -> bool:
        """True if there are no steps to take: the last layer is fitted, and the others stay as they are."""
        return self.head == "fitted" and self.freeze_backbone

    def resolved(self, loss: Loss, data: Dataset) -> Self:
        """Return the recipe with every "auto" replaced: `loss` is the model's, augmentation and views follow the data.

        Precision that is still "auto" becomes float32; `settled` measures it first. No training images are set aside
        for calibration where val images beside a test split, or what a fitted head holds out, serve for it.
        """
        others = self.head == "fitted" or data.spare_val is not None
        return self.replace(
            loss=loss if self.loss == "auto" else self.loss,
            augment=default_augmentation(data) if self.augment == "auto" else self.augment,
            calibration=0.0 if others else self.calibration,
            precision="float32" if self.precision == "auto" else self.precision,
            shards=self.shards or 1,
            sync="exact" if self.sync == "auto" else self.sync,
            tta=("flip,shifts" if data.mirror else "shifts") if self.tta == "auto" else self.tta,
        )


def default_augmentation(data: Dataset) -> str:
    """Small shifts, mirror images where a mirrored image keeps its label, and for fewer than 10,000 images, which a
    network would soon know by heart, larger shifts, rotations and zooms."""
    variation = "shift=0.08,rotate=10,zoom=0.1" if len(data.train) < FEW_SAMPLES else "shift=0.04"
    return f"flip,{variation}" if data.mirror else variation
