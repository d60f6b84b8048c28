"""The place of a test file's baselines: one for each, inside of the folder, and the way back."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_initcheck.baseline.places import ProjectPlace, file_of, folded, paths_of

names = st.text(st.characters(exclude_characters="/"), min_size=1, max_size=6).filter(
    lambda name: name not in (".", "..")
)
paths = st.lists(
    st.one_of(names, st.sampled_from(["..", "_outside", "a:b", "a_b", "%3A"])),
    min_size=1,
    max_size=4,
).map(lambda parts: "/".join(parts) + ".py")


@given(paths, paths)
def test_two_test_files_never_share_a_place(a, b):
    assert (file_of(a) == file_of(b)) == (PurePosixPath(a) == PurePosixPath(b))


@given(paths)
def test_the_place_is_inside_and_leads_back(path):
    place = file_of(path)
    assert not place.is_absolute()
    assert ".." not in place.parts
    str(place).encode("utf-8")
    assert "\0" not in str(place)
    assert str(PurePosixPath(path)) in paths_of(place)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("a:b.py", "a%3Ab.json"),
        ("a_b.py", "a_b.json"),
        ("a%3Ab.py", "a%253Ab.json"),
        ("_outside/x.py", "%5Foutside/x.json"),
        ("my_outside/x.py", "my_outside/x.json"),
        ("con/x.py", "%63on/x.json"),
        ("a./x.py", "a%2E/x.json"),
        ("x\0\ud800.py", "x%00%ED%A0%80.json"),
        ("/x.py", "_root/x.json"),
    ],
)
def test_what_is_escaped(path, place):
    assert str(file_of(path)) == place
    assert path in paths_of(file_of(path))


def test_a_dotted_stem_may_be_of_python_or_not():
    assert paths_of(PurePosixPath("test_v1.0.json")) == ("test_v1.0.py", "test_v1.0")
    assert paths_of(PurePosixPath("guide.txt.json")) == ("guide.txt", "guide.txt.py")


def test_names_that_some_disks_take_for_one():
    assert folded(PurePosixPath("A/\u00e9")) == folded(PurePosixPath("a/e\u0301"))
    assert folded(PurePosixPath("a/e")) != folded(PurePosixPath("a/f"))


@pytest.mark.parametrize(
    ("folder", "root", "kept"),
    [
        ("repo/baselines", "repo", "tests/t.py"),
        ("repo/qa/baselines", "repo", "tests/t.py"),
        ("repo/baselines", "repo/a", "a/tests/t.py"),
        ("repo/baselines", "repo/packages/a", "packages/a/tests/t.py"),
        ("repo/b/baselines", "repo/a", "tests/t.py"),
    ],
)
def test_a_folder_above_the_project_keeps_the_path_to_it(folder, root, kept):
    project = ProjectPlace(Path("/", folder), Path("/", root))
    assert project.path("tests/t.py") == kept
    assert project.test_file(kept) == "tests/t.py"


def test_tests_beside_the_project_are_those_of_the_one_beside_it():
    mine, other = (ProjectPlace(Path("/repo/baselines"), Path("/repo", name)) for name in "ab")
    assert mine.path("../b/t.py") == other.path("t.py") == "b/t.py"
    assert mine.test_file("b/t.py") == "../b/t.py"
    assert mine.test_file("/elsewhere/t.py") == "/elsewhere/t.py"
    assert ProjectPlace(Path("/repo/baselines"), None).path("t.py") == "t.py"
