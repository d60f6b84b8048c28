"""The MNIST digits: an embedded subset, the full set from a folder, or torchvision's download."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_initcheck.data.idx import Array, read_idx
from pytest_initcheck.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor, device

VARIABLE = "INITCHECK_MNIST"
EMBEDDED = Path(__file__).parent / "embedded"
FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
SUBFOLDERS = ("", "raw", "MNIST/raw")
_session: dict[str, str | None] = {"folder": None}


@dataclass(frozen=True, kw_only=True)
class Mnist:
    """Handwritten digits with their labels.

    Images are float32 in [0, 1], of shape (n, 784) or (n, 1, 28, 28); labels are int64 in 0..9,
    of shape (n,). ``origin`` says where they came from; ``full`` whether it is all of MNIST.
    """

    train_images: Tensor = field(repr=False)
    train_labels: Tensor = field(repr=False)
    test_images: Tensor = field(repr=False)
    test_labels: Tensor = field(repr=False)
    origin: str

    @property
    def train(self) -> tuple[Tensor, Tensor]:
        """Images and labels to train on."""
        return self.train_images, self.train_labels

    @property
    def test(self) -> tuple[Tensor, Tensor]:
        """Images and labels to test on."""
        return self.test_images, self.test_labels

    @property
    def full(self) -> bool:
        """Whether this is the full set of 60,000 and 10,000 digits."""
        return len(self.train_labels) == 60_000 and len(self.test_labels) == 10_000


def load_mnist(
    source: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
    flat: bool = True,
    device: str | device | None = None,
) -> Mnist:
    """Read the MNIST digits.

    Args:
        source: a folder that has the four IDX files, plain or ``.gz``, in itself, in ``raw`` or in
            ``MNIST/raw``; or ``"embedded"`` for the stratified subset of 5,000 and 1,000 digits
            in this package. None: the folder that the plugin's option or ini value names, or
            the environment variable ``INITCHECK_MNIST``, else the embedded subset.
        download: let torchvision download the full set into ``source`` (None: the user's cache)
            where it is not there yet.
        flat: images of shape (n, 784); otherwise (n, 1, 28, 28).
        device: where the tensors go; the CPU where None.

    Raises:
        DataError: files are missing, corrupt or do not belong together, or the download failed.
    """
    folder, origin = _choose(source, download)
    arrays = {role: read_idx(find_file(folder, name)) for role, name in FILES.items()}
    for part in ("train", "test"):
        _check(folder, part, arrays[f"{part}_images"], arrays[f"{part}_labels"])
    tensors = {role: _tensor(array, flat).to(device) for role, array in arrays.items()}
    return Mnist(**tensors, origin=origin)


def use_folder(folder: str | None) -> str | None:
    """Let `load_mnist` read from there where nothing is passed to it; what held until then."""
    before = _session["folder"]
    _session["folder"] = folder
    return before


def _choose(source: str | os.PathLike[str] | None, download: bool) -> tuple[Path, str]:
    if download:
        folder = Path(source or Path.home() / ".cache" / "pytest-initcheck")
        _download(folder)
        return folder, "torchvision's download"
    source = source or _session["folder"] or os.environ.get(VARIABLE) or "embedded"
    if source == "embedded":
        return EMBEDDED, "embedded subset"
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; pass the one that has the MNIST files")
    return folder, f"folder {folder.name or folder}"


def _download(folder: Path) -> None:
    from torchvision.datasets import MNIST

    try:
        MNIST(str(folder), download=True)
    except Exception as error:
        raise DataError(
            f"{folder}: torchvision could not download MNIST: {error}; "
            "pass a folder that has the files, or leave out download=True for the embedded subset"
        ) from error


def find_file(folder: Path, name: str) -> Path:
    """The file of that name, plain or ``.gz``, in one of the places below ``folder``."""
    for sub in SUBFOLDERS:
        for suffix in ("", ".gz"):
            path = folder / sub / (name + suffix)
            if path.is_file():
                return path
    places = ", ".join(str(folder / sub) for sub in SUBFOLDERS)
    raise DataError(f"{name} or {name}.gz is in none of {places}")


def _check(folder: Path, part: str, images: Array, labels: Array) -> None:
    where = f"{folder}: MNIST's {part} part"
    if images.dtype != "uint8" or images.ndim != 3 or images.shape[1:] != (28, 28):
        found = f"{images.dtype} of shape {images.shape}"
        raise DataError(f"{where}: expected uint8 images of 28x28 pixels, found {found}")
    if labels.dtype != "uint8" or labels.shape != images.shape[:1]:
        found = f"{labels.dtype} of shape {labels.shape}"
        raise DataError(f"{where}: expected {len(images)} uint8 labels, found {found}")
    if len(labels) == 0:
        raise DataError(f"{where}: there are no images")
    if labels.max() > 9:
        raise DataError(f"{where}: labels go from 0 to 9, found {labels.max()}")


def _tensor(values: Array, flat: bool) -> Tensor:
    import torch

    tensor = torch.from_numpy(values)
    if values.ndim == 1:
        return tensor.long()
    shape = (-1, 784) if flat else (-1, 1, 28, 28)
    return tensor.reshape(shape).float().div_(255)
