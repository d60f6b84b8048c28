"""The arithmetic of shapes: what views, moves and their inverses leave of the axes."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_initcheck.capture.axis_layout import intended, is_suspect, laid_out, named_axes

SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=5).map(tuple)


def viewed(layout, shape):
    return replace(layout, shape=tuple(shape))


def plain(shape):
    return tuple(size for size in shape if size > 1)


@st.composite
def reshaped(draw):
    """A shape, and another one of as many values."""
    shape = draw(SIZES)
    factors = draw(st.permutations([f for size in shape for f in primes(size)]))
    cuts = sorted(draw(st.lists(st.integers(0, len(factors)), max_size=4)))
    ends = zip([0, *cuts], [*cuts, len(factors)], strict=True)
    return shape, tuple(math.prod(factors[a:b]) for a, b in ends)


def primes(size):
    for factor in range(2, size + 1):
        if size % factor == 0:
            return [factor, *primes(size // factor)]
    return []


@given(reshaped())
def test_regions_share_out_axes_and_values(shapes):
    before, after = shapes
    regions = list(viewed(laid_out(named_axes(before)), after).regions())
    axes = [axis for region in regions for axis in range(region.first, region.last + 1)]
    assert axes == list(range(len(after)))
    assert plain(a.size for region in regions for a in region.atoms) == plain(before)
    for region in regions:
        assert math.prod(region.sizes) == math.prod(a.size for a in region.atoms)


@given(reshaped())
def test_axes_have_the_sizes_of_the_shape(shapes):
    before, after = shapes
    axes = viewed(laid_out(named_axes(before)), after).axes()
    assert laid_out(axes).shape == after


@given(reshaped())
def test_a_view_that_is_taken_back_is_sound(shapes):
    before, after = shapes
    layout = laid_out(named_axes(before))
    again = viewed(viewed(layout, after), before)
    assert all(region.kind is None for region in again.regions())
    assert again.axes() == layout.axes()


@st.composite
def moved(draw):
    """A shape, two parts of each of its axes, and an order of the parts."""
    shape = draw(SIZES)
    parts = []
    for size in shape:
        factors = primes(size) or [1]
        cut = draw(st.integers(1, len(factors)))
        parts += [math.prod(factors[:cut]), math.prod(factors[cut:])]
    return shape, tuple(parts), tuple(draw(st.permutations(range(len(parts)))))


@given(moved())
def test_axes_that_are_cut_up_moved_and_joined_are_sound(case):
    shape, parts, order = case
    cut = viewed(laid_out(named_axes(shape)), parts)
    assert not any(map(is_suspect, cut.regions()))
    axes = cut.axes()
    over = laid_out([axes[place] for place in order])
    joined = viewed(over, [math.prod(over.shape[:2]), *over.shape[2:]])
    assert not any(map(is_suspect, joined.regions()))
    back = viewed(joined, over.shape).axes()
    undone = laid_out([back[order.index(place)] for place in range(len(parts))])
    # The parts are the whole again, which may be cut up otherwise.
    others = [part for a, b in zip(parts[::2], parts[1::2], strict=True) for part in (b, a)]
    for again in (shape, others):
        assert not any(map(is_suspect, viewed(undone, again).regions()))


@given(st.integers(2, 12), st.integers(2, 12), SIZES)
def test_an_axis_in_the_place_of_another_is_suspect(a, b, others):
    layout = viewed(laid_out(named_axes((*others, a, b))), (*others, b, a))
    assert any(map(is_suspect, layout.regions())) == (a != b)


@given(reshaped())
def test_what_was_meant_makes_the_shape(shapes):
    before, after = map(plain, shapes)
    meant = intended(before, after)
    if meant is not None:
        made = torch.zeros(before).reshape(meant.parts).permute(meant.order).reshape(after)
        assert made.shape == after


@given(SIZES.map(plain), st.randoms())
def test_every_order_of_the_axes_is_seen_as_meant(shape, random):
    after = random.sample(shape, len(shape))
    meant = intended(shape, after)
    assert meant is not None
    assert [meant.parts[place] for place in meant.order] == after
