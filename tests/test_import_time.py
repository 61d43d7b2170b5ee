"""What `import cigf` and `cigf --help` may cost."""

import subprocess
import sys

import pytest

import cigf

HEAVY = ("torch", "polars", "numpy", "scipy", "scipy.linalg", "numba")


def loaded_by(code):
    """Which heavy modules a fresh interpreter has after some code."""
    check = f"import sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    command = [sys.executable, "-c", f"{code}\n{check}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return result.stdout.splitlines()[-1]


@pytest.mark.parametrize("code", ["import cigf", "import cigf.cli.main"])
def test_nothing_heavy_is_imported(code):
    assert loaded_by(code) == "[]"


@pytest.mark.parametrize("command", [[], ["train"], ["data", "prepare"], ["demo"]])
def test_help_imports_nothing_heavy(command):
    code = (
        "from cigf.cli.main import app\n"
        f"try: app([*{command!r}, '--help'])\n"
        "except SystemExit as end: assert end.code == 0, end.code"
    )
    assert loaded_by(code) == "[]"


def test_the_check_sees_heavy_modules():
    assert "numpy" in loaded_by("import numpy")


def test_numba_is_imported_when_a_graph_is_propagated_and_not_before():
    assert "numba" not in loaded_by("import cigf.models.cigf, cigf.training.trainer")


def test_linear_algebra_waits_for_the_models_that_need_it():
    if "'scipy.linalg'" in loaded_by("import scipy.sparse"):
        pytest.skip("this SciPy's sparse matrices bring it along")
    loaded = loaded_by("import cigf.inference.recommender")
    assert "'scipy'" in loaded
    assert "scipy.linalg" not in loaded


def test_the_command_imports_nothing_heavy():
    """As it is called: how long that takes is a benchmark's figure (`benchmarks commands`)."""
    command = [sys.executable, "-X", "importtime", "-m", "cigf", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "recommend" in result.stdout
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "cigf.cli.main" in imported
    assert not imported & set(HEAVY)


def test_public_names_load_on_first_use():
    for name in cigf.__all__:
        assert getattr(cigf, name) is not None
        assert name in dir(cigf)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'cigf' has no attribute 'Recomender'"):
        cigf.Recomender  # noqa: B018
