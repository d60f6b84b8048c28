"""MNIST: the embedded subset, folders of every layout, and what can be wrong with them."""

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.mnist import NAMES, tiny

import pytest_initcheck.data
from pytest_initcheck.data import load_mnist, read_idx, write_idx
from pytest_initcheck.data.build import build, stratified
from pytest_initcheck.errors import DataError

EMBEDDED = Path(pytest_initcheck.data.__file__).parent / "embedded"
# How many of each digit the full set has.
TRAIN_CLASSES = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
TEST_CLASSES = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)

DIGESTS = {
    "t10k-images-idx3-ubyte.gz": "ac02f36f94c4a468",
    "t10k-labels-idx1-ubyte.gz": "894e09284cc85ebb",
    "train-images-idx3-ubyte.gz": "da8fe46bc60ab8f6",
    "train-labels-idx1-ubyte.gz": "b91950245f3d9687",
}


@pytest.fixture(autouse=True)
def _no_folder(monkeypatch):
    monkeypatch.delenv("INITCHECK_MNIST", raising=False)


def test_embedded_subset_has_its_size_and_range():
    mnist = load_mnist()
    assert mnist.train_images.shape == (5000, 784)
    assert mnist.test_images.shape == (1000, 784)
    assert mnist.train_images.dtype == torch.float32
    assert mnist.train_labels.dtype == torch.int64
    assert mnist.train_images.min() == 0
    assert mnist.train_images.max() == 1
    assert mnist.origin == "embedded subset"
    assert not mnist.full


def test_embedded_subset_keeps_the_share_of_every_digit():
    mnist = load_mnist("embedded")
    for labels, all_of_them in (
        (mnist.train_labels, TRAIN_CLASSES),
        (mnist.test_labels, TEST_CLASSES),
    ):
        expected = torch.tensor(all_of_them) * len(labels) / sum(all_of_them)
        assert (labels.bincount() - expected).abs().max() < 1


def test_embedded_subset_has_no_digit_twice():
    for name in (NAMES[0], NAMES[2]):
        images = read_idx(EMBEDDED / f"{name}.gz")
        assert len({image.tobytes() for image in images}) == len(images)


def test_embedded_labels_belong_to_the_images():
    mnist = load_mnist()
    means = torch.stack([mnist.train_images[mnist.train_labels == c].mean(0) for c in range(10)])
    nearest = torch.cdist(mnist.test_images, means).argmin(1)
    # The nearest class mean is right for 82 % of MNIST, by chance for 10 %.
    assert (nearest == mnist.test_labels).double().mean() > 0.75


def test_embedded_subset_is_small_and_says_its_licence():
    files = list(EMBEDDED.iterdir())
    assert sum(path.stat().st_size for path in files) < 1_500_000
    licence = (EMBEDDED / "LICENSE.md").read_text()
    for word in ("LeCun", "Cortes", "Burges", "NIST Special Database 3", "CC BY-SA 3.0"):
        assert word in licence


def test_embedded_files_are_those_that_were_built():
    # Suites compare with stored baselines, so the digits must not change unnoticed.
    digests = {
        path.name: hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()[:16]
        for path in sorted(EMBEDDED.glob("*.gz"))
    }
    assert digests == DIGESTS


@pytest.mark.parametrize("below", ["", "raw", "MNIST/raw"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_full_set_is_found_in_every_layout(tmp_path, below, suffix):
    tiny(tmp_path / below, suffix=suffix)
    mnist = load_mnist(tmp_path)
    assert len(mnist.train_labels) == 30
    assert mnist.test_labels.tolist() == [i % 10 for i in range(20)]


def test_pixels_are_scaled_from_bytes(tmp_path):
    tiny(tmp_path)
    images = read_idx(tmp_path / NAMES[0])
    mnist = load_mnist(tmp_path, flat=False)
    assert mnist.train_images.shape == (30, 1, 28, 28)
    torch.testing.assert_close(mnist.train_images[:, 0], torch.from_numpy(images / 255).float())


def test_environment_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("INITCHECK_MNIST", str(tiny(tmp_path)))
    assert len(load_mnist().train_labels) == 30
    assert len(load_mnist("embedded").train_labels) == 5000


def test_parts_are_pairs():
    mnist = load_mnist()
    assert mnist.train[0] is mnist.train_images
    assert mnist.test[1] is mnist.test_labels


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        load_mnist(tmp_path / "nothing")


def test_missing_file_is_named_with_the_places_searched(tmp_path):
    (tiny(tmp_path) / NAMES[3]).unlink()
    with pytest.raises(DataError, match=f"{NAMES[3]}.*MNIST/raw"):
        load_mnist(tmp_path)


def test_truncated_file_is_named(tmp_path):
    path = tiny(tmp_path) / NAMES[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{NAMES[0]}: truncated"):
        load_mnist(tmp_path)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (NAMES[0], np.zeros((30, 28, 27), "uint8"), "28x28"),
        (NAMES[0], np.zeros((30, 28, 28), "int32"), "uint8 images"),
        (NAMES[1], np.zeros(29, "uint8"), "expected 30 uint8 labels"),
        (NAMES[3], np.full(20, 10, "uint8"), "labels go from 0 to 9, found 10"),
    ],
)
def test_files_that_do_not_belong_together(tmp_path, name, values, message):
    write_idx(tiny(tmp_path) / name, values)
    with pytest.raises(DataError, match=message):
        load_mnist(tmp_path)


def test_empty_set(tmp_path):
    tiny(tmp_path, train=0)
    with pytest.raises(DataError, match="no images"):
        load_mnist(tmp_path)


def test_download_uses_what_torchvision_has_already(tmp_path):
    tiny(tmp_path / "MNIST" / "raw")
    mnist = load_mnist(tmp_path, download=True)
    assert mnist.origin == "torchvision's download"
    assert len(mnist.train_labels) == 30


def test_download_that_fails_is_one_error(tmp_path, monkeypatch):
    import torchvision

    # Nothing listens on the discard port.
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DataError, match="could not download MNIST"):
        load_mnist(tmp_path / "new", download=True)


def test_subset_is_stratified_to_the_sample():
    labels = np.repeat(np.arange(3), [60, 30, 10])
    chosen = stratified(labels, 25)
    assert len(set(chosen.tolist())) == 25
    assert np.bincount(labels[chosen]).tolist() == [15, 8, 2]


def test_subset_is_built_from_a_folder(tmp_path):
    source = tiny(tmp_path / "full", train=6000, test=1500)
    build(source, tmp_path / "small")
    full, small = load_mnist(source), load_mnist(tmp_path / "small")
    assert len(small.train_labels) == 5000
    assert len(small.test_labels) == 1000
    known = {image.tobytes(): int(label) for image, label in zip(*numpy(full.train), strict=True)}
    pairs = zip(*numpy(small.train), strict=True)
    assert all(known[image.tobytes()] == label for image, label in pairs)


def numpy(pair):
    return [tensor.numpy() for tensor in pair]


def test_importing_the_package_imports_neither_torch_nor_numpy():
    code = (
        "import sys, pytest_initcheck; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_failure_does_not_print_the_pixels():
    assert repr(load_mnist("embedded")) == "Mnist(origin='embedded subset')"
