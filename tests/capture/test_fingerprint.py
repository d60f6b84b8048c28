"""A fingerprint changes with any bit and any place, and with nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.fingerprint import PARTS, Fingerprints, digest, fingerprint

few = settings(max_examples=40, deadline=None, derandomize=True)
DTYPES = (
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
    torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
)  # fmt: skip
SIZES = (1, 2, 3, 7, 8, 9, 64, 1001)


def mark(tensor):
    return tuple(fingerprint(tensor).tolist())


def digest_of(*tensors):
    ledger = DeferredRead()
    found = Fingerprints(tensors, ledger)
    ledger.read()
    return found.digest()


def made(dtype, *shape, seed=0):
    """Values of a dtype that are nearly all different."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 50
    return values > 0 if dtype is torch.bool else values.to(dtype)


def flipped(tensor, bit):
    """The tensor with one bit of its memory turned over."""
    octets = tensor.clone().reshape(-1).view(torch.uint8).numpy()
    place = bit % (8 * octets.size)
    octets[place // 8] ^= np.uint8(1 << place % 8)
    return torch.from_numpy(octets).view(tensor.dtype).reshape(tensor.shape)


# Any bit, any place


@few
@given(
    st.sampled_from([d for d in DTYPES if d is not torch.bool]),
    st.sampled_from(SIZES),
    st.integers(0, 2**20),
)
def test_any_bit_counts(dtype, size, bit):
    tensor = made(dtype, size)
    assert mark(flipped(tensor, bit)) != mark(tensor)
    assert mark(flipped(flipped(tensor, bit), bit)) == mark(tensor)


@few
@given(st.sampled_from(DTYPES), st.sampled_from(SIZES), st.data())
def test_any_swap_counts(dtype, size, data):
    tensor, places = made(dtype, size), st.integers(0, size - 1)
    i, j = data.draw(places), data.draw(places)
    assume(bool(tensor[i] != tensor[j]))
    swapped = tensor.clone()
    swapped[i], swapped[j] = tensor[j].clone(), tensor[i].clone()
    assert mark(swapped) != mark(tensor)


@few
@given(
    st.sampled_from([torch.float16, torch.float32, torch.float64]),
    st.sets(st.integers(0, 63), min_size=1),
)
def test_any_set_of_signs_counts(dtype, places):
    # The sign is the highest bit of a word; multiples of it cancel where sums are not mixed.
    tensor = made(dtype, 64)
    turned = tensor.clone()
    turned[list(places)] *= -1
    assert mark(turned) != mark(tensor)


def test_values_that_differ_in_their_sign_alone_may_not_be_exchanged():
    for dtype in (torch.float32, torch.float64):
        tensor = torch.tensor([0.5, 1.0, 0.25, -1.0], dtype=dtype)
        assert mark(tensor[[0, 3, 2, 1]]) != mark(tensor)


def test_the_zero_with_a_sign_and_another_nan_are_other_bits():
    assert mark(torch.tensor([0.0])) != mark(torch.tensor([-0.0]))
    nan = torch.tensor([float("nan")])
    assert mark(nan) == mark(nan.clone()) != mark(flipped(nan, 0))


def test_many_small_tensors_have_as_many_fingerprints():
    values = made(torch.float32, 20_000, 3)
    assert len({mark(row) for row in values[:3000]}) == 3000
    places = torch.eye(500, dtype=torch.float64)
    assert len({mark(row) for row in places}) == 500


@pytest.mark.parametrize("place", [0, 2**17 - 1, 2**17, 2**18 + 5])
def test_a_place_in_any_piece_of_a_long_tensor_counts(place):
    tensor = made(torch.float32, 2**18 + 6)
    moved = tensor.clone()
    moved[place] = torch.nextafter(moved[place], torch.tensor(1e9))
    assert mark(moved) != mark(tensor)
    # The same content a whole piece of words farther on is another tensor.
    assert mark(tensor.roll(2**17)) != mark(tensor)


# What is no difference


@few
@given(st.sampled_from(DTYPES), st.integers(1, 5), st.integers(1, 5))
def test_strides_offsets_and_graphs_do_not_count(dtype, rows, columns):
    base = made(dtype, columns + 1, rows + 1)
    view = base.t()[1:, 1:]
    assert mark(view) == mark(view.contiguous().clone())
    rest = base.reshape(-1)[1:]
    assert mark(rest) == mark(rest.clone())
    if dtype.is_floating_point:
        assert mark(view.clone().requires_grad_()) == mark(view)


def test_a_lazy_conjugate_or_negative_is_what_it_stands_for():
    values = made(torch.float32, 5).to(torch.complex64) * (1 + 2j)
    assert mark(values.conj()) == mark(values.conj().resolve_conj().clone()) != mark(values)
    part = values.conj().imag
    assert part.is_neg()
    assert mark(part) == mark(part.resolve_neg().clone())


def test_the_number_of_threads_does_not_count():
    tensor, before = made(torch.float32, 300_000), torch.get_num_threads()
    try:
        found = set()
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.add(mark(tensor))
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1


# Forms


def test_an_empty_tensor_has_one():
    assert mark(torch.empty(0)) == mark(torch.empty(0, dtype=torch.int64)) == (0,) * PARTS
    assert digest_of(torch.empty(0, 3)) != digest_of(torch.empty(3, 0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_parts_fit_into_sixteen_bits(dtype):
    assert all(0 <= part < 2**16 for part in mark(made(dtype, 33)))
    assert len(mark(made(dtype))) == PARTS


def test_sparse_values_and_their_places_count():
    def sparse(places, values):
        return torch.sparse_coo_tensor([places], values, (6,), check_invariants=True)

    plain = sparse([0, 4], [1.0, 2.0])
    assert mark(plain) == mark(sparse([4, 0], [2.0, 1.0])) == mark(sparse([0, 0, 4], [0.5, 0.5, 2]))
    assert mark(plain) != mark(sparse([0, 4], [1.0, 2.5]))
    assert mark(plain) != mark(sparse([1, 5], [1.0, 2.0]))


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_a_compressed_matrix_is_taken_as_what_it_holds():
    dense = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    assert mark(dense.to_sparse_csr()) == mark(dense)


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor")
def test_quantised_values_are_told_apart():
    values = torch.tensor([0.1, 0.2, 0.3])
    first, second = (torch.quantize_per_tensor(v, 0.1, 0, torch.qint8) for v in (values, -values))
    assert mark(first) == mark(first.clone()) != mark(second)


def test_dtype_shape_and_order_are_part_of_a_digest():
    zeros = torch.zeros(4)
    other = [zeros.reshape(2, 2), zeros.half(), zeros.int(), torch.zeros(5), torch.zeros(4, 1)]
    assert len({digest_of(tensor) for tensor in [zeros, *other]}) == 6
    a, b = made(torch.float32, 4), made(torch.float32, 4, seed=1)
    assert len({digest_of(a, b), digest_of(b, a), digest_of(a), digest_of(a, b, b)}) == 4


def test_a_digest_is_sixteen_hexadecimal_digits():
    text = digest([1.0, 2.0, 3.0, 65535.0], "float32", (2, 3))
    assert len(text) == 16
    assert int(text, 16) >= 0
    assert text != digest([1.0, 2.0, 3.0, 65534.0], "float32", (2, 3))
