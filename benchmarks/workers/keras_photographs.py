"""Keras on TensorFlow with tf.data on photographs from JPEG files: prints images a second.

    python keras_photographs.py NETWORK FOLDER EPOCHS BATCH

As Keras's and TensorFlow's guides write it: files shuffled, decoded, cropped and mirrored by `tf.data` in parallel,
prefetched, and `fit`. Files that are not named .jpg are left out, as `tf.data` has no decoder for every kind. What
`fit` compiles is compiled before the clock starts, by a step on black images.
"""

import sys
import time
from pathlib import Path

import keras
import tensorflow as tf
from keras import layers

SIDE = 224
# Kernel, stride, expansion, channels and repeats of each stage (EfficientNet-Lite0: no squeeze and excitation, ReLU6).
STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
          (3, 1, 6, 320, 1))  # fmt: skip


def _normalized(x: keras.KerasTensor, activate: bool = True) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=1e-3)(x)
    return layers.ReLU(6.0)(x) if activate else x


def efficientnet_lite0(classes: int) -> keras.Model:
    """EfficientNet-Lite0 of Keras's layers."""
    images = x = keras.Input((SIDE, SIDE, 3))
    x = _normalized(layers.Conv2D(32, 3, 2, padding="same", use_bias=False)(x))
    for kernel, first, expansion, channels, repeats in STAGES:
        for number in range(repeats):
            before, stride = x, first if number == 0 else 1
            if expansion > 1:
                x = _normalized(layers.Conv2D(expansion * x.shape[-1], 1, use_bias=False)(x))
            x = _normalized(layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False)(x))
            x = _normalized(layers.Conv2D(channels, 1, use_bias=False)(x), activate=False)
            x = layers.Add()([before, x]) if stride == 1 and before.shape[-1] == channels else x
    x = layers.GlobalAveragePooling2D()(_normalized(layers.Conv2D(1280, 1, use_bias=False)(x)))
    return keras.Model(images, layers.Dense(classes)(layers.Dropout(0.2)(x)))


def resnet50(classes: int) -> keras.Model:
    """Keras's own ResNet-50."""
    return keras.applications.ResNet50(
        weights=None, classes=classes, input_shape=(SIDE, SIDE, 3), classifier_activation=None
    )


def photographs(folder: str, batch: int) -> tuple[tf.data.Dataset, list[str], int]:
    """Batches of the photographs in train/, their classes, and how many there are."""
    classes = sorted(path.name for path in Path(folder, "train").iterdir() if path.is_dir())
    files = [
        (str(path), label) for label, name in enumerate(classes) for path in Path(folder, "train", name).glob("*.jpg")
    ]

    def prepared(path: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        content = tf.io.read_file(path)
        shape = tf.io.extract_jpeg_shape(content)
        whole = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            shape, whole, min_object_covered=0, area_range=(0.08, 1.0)
        )
        window = tf.concat([begin[:2], size[:2]], 0)
        image = tf.image.decode_and_crop_jpeg(content, window, channels=3)
        image = tf.image.random_flip_left_right(tf.image.resize(image, (SIDE, SIDE)))
        return (image - 118.0) / 58.0, label

    data = tf.data.Dataset.from_tensor_slices(tuple(map(list, zip(*files, strict=True)))).shuffle(len(files))
    batches = data.map(prepared, num_parallel_calls=tf.data.AUTOTUNE).batch(batch).prefetch(tf.data.AUTOTUNE)
    return batches, classes, len(files)


def main() -> None:
    """Train, and print images a second."""
    name, folder, epochs, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    data, classes, count = photographs(folder, batch)
    model = {"resnet50": resnet50, "efficientnet_lite0": efficientnet_lite0}[name](len(classes))
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    for size in {batch, count % batch or batch}:
        model.train_on_batch(tf.zeros((size, SIDE, SIDE, 3)), tf.zeros(size, tf.int64))
    began = time.perf_counter()
    model.fit(data, epochs=epochs, verbose=0)
    print(epochs * count / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
