"""The documentation tells the truth: its code runs, its commands parse, its tables are current."""

import ast
import inspect
import re
import shlex
import shutil
import tomllib
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Literal, get_args, get_origin

import numpy as np
import polars as pl
import pytest
import typer

import cigf.cli.main
from cigf.config import Config
from cigf.data.options import PrepareOptions
from cigf.data.prepare import prepare
from cigf.data.synthetic import generate_log
from cigf.errors import CigfError
from cigf.evaluation.metrics import METRICS
from cigf.experiment.config import DataConfig, EvaluationConfig, ExperimentConfig, load_experiment
from cigf.experiment.entries import read_entries
from cigf.models.registry import MODELS
from cigf.sampling.config import SamplingConfig
from cigf.service.settings import Limits
from cigf.training.config import TrainingConfig

ROOT = Path(__file__).resolve().parents[1]
GUIDE = sorted((ROOT / "docs" / "guide").glob("*.md"))
MODEL_PAGES = sorted((ROOT / "docs" / "models").glob("*.md"))
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *GUIDE,
    *MODEL_PAGES,
    *sorted((ROOT / "docs" / "results").glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
SECTIONS = {
    "sampling": SamplingConfig,
    "training": TrainingConfig,
    "data": DataConfig,
    "evaluation": EvaluationConfig,
}
OTHER_PROGRAMS = {"git", "cd", "pip"}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def typed(page):
    """The command lines of a page's console blocks, word by word."""
    for block in blocks(page, "console"):
        lines = block.replace("\\\n", " ").splitlines()
        for line in lines:
            if line.startswith("$ "):
                for command in line[2:].split(" && "):
                    yield launched(shlex.split(command))


def launched(words):
    """What torchrun starts: `torchrun ... -m cigf train ...` is `cigf train ...`."""
    return words[words.index("-m") + 1 :] if words[0] == "torchrun" else words


def mentioned(page):
    """The commands of cigf in a page's running text and tables."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`(cigf [^`]+)`", text):
        yield shlex.split(" ".join(code.split()))


def names(pages):
    return [str(page.relative_to(ROOT)) for page in pages]


def parse(words, *, partly=False):
    """Parse a command line as the program would, without running it; return its options.

    `partly`: what is only mentioned may lack arguments.
    """
    command, given = typer.main.get_command(cigf.cli.main.app), list(words)
    while given and given[0] in getattr(command, "commands", {}):
        command = command.commands[given.pop(0)]
    if hasattr(command, "commands"):
        assert given in (["--help"], ["--version"]) or (partly and not given), f"no such: {words}"
        return {}
    try:
        return command.make_context(command.name, given).params
    except Exception as error:
        if partly and type(error).__name__ == "MissingParameter":
            return {}
        raise AssertionError(f"cigf {shlex.join(words)}: {error}") from error


def check_settings(params):
    if params.get("config") is None and not params.get("settings"):
        return
    if isinstance(params.get("config"), list):  # of several models
        files = [ROOT / path for path in params["config"] if path.parts[0] == "experiments"]
        read_entries(params["models"].split(","), files, params["settings"] or [])
        return
    config = ROOT / params["config"] if params.get("config") else None
    if config is not None and not config.exists():
        assert params["config"].parts[0] != "experiments", f"{config} is not there"
        config = None
    load_experiment(config, params["settings"] or [])


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_typed_commands_exist(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for program, *words in typed(page):
        if program == "cigf":
            check_settings(parse(words))
        elif program == "make":
            assert set(words) <= targets, words
        else:
            assert program in OTHER_PROGRAMS, program


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_mentioned_commands_exist(page):
    for _, *words in mentioned(page):
        check_settings({"settings": None, **parse(words, partly=True)})


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_mentioned_settings_exist(page):
    settings = re.findall(r"--set ([a-z]+\.[a-z0-9_]+=[^\s`]+)", page.read_text())
    load_experiment(None, settings)


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_mentioned_options_exist(page):
    """A long option in running text belongs to some command."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    if page.name == "porting.md":  # names the published program's options too
        text = re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)
    known = {"--help"} | {o for c in leaves() for p in c.params for o in p.opts}
    found = {o for code in re.findall(r"`([^`]+)`", text) for o in options_in(code)}
    assert found <= known, found - known


def options_in(code):
    return re.findall(r"(?<![\w-])--[a-z][a-z-]*", code)


def leaves(command=None):
    command = command or typer.main.get_command(cigf.cli.main.app)
    if not hasattr(command, "commands"):
        return [command]
    return [leaf for each in command.commands.values() for leaf in leaves(each)]


def test_every_command_is_named_in_the_conventions():
    text = (ROOT / "docs" / "guide" / "conventions.md").read_text()
    missing = [
        leaf.name for leaf in leaves() if not re.search(rf"`cigf [a-z ]*{leaf.name}\b", text)
    ]
    assert missing == []


def test_the_checks_notice_what_is_wrong():
    for words in (["traim", "D"], ["train", "D", "--out", "R", "--epochs", "3"], ["train", "D"]):
        with pytest.raises(AssertionError):
            parse(words)
    assert parse(["train"], partly=True) == {}
    with pytest.raises(CigfError, match="n_layrs"):
        check_settings({"config": None, "settings": ["model.n_layrs=2"]})


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_mentioned_files_of_the_repository_exist(page):
    found = re.findall(r"\b(?:experiments|benchmarks|tests|docs)/[\w./-]+\.\w+", page.read_text())
    assert not {name for name in found if not (ROOT / name).exists()}


@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if blocks(p, "python") and p.stem != "tutorial"],  # it runs a server too
    ids=lambda page: page.stem,
)
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = generate_log(61, 43, 3001, generator=np.random.default_rng(0))
    # The ids of a log of the size that `cigf data generate` makes by default.
    log.with_columns(pl.col("user_id").str.replace("u", "u00")).write_csv("events.csv")
    shutil.copytree(ROOT / "experiments", "experiments")
    namespace = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), namespace)
    text = page.read_text()
    if "shop.save(" in text:
        check_folder(tmp_path / "shop.model", "## Artifact folder")
    if "train_run(" in text:
        check_folder(tmp_path / "run", "## Run folder")
    assert "shop.save(" in text or "train_run(" in text


def check_folder(folder, heading):
    """Every file of a folder stands in its table of the conventions."""
    text = (ROOT / "docs" / "guide" / "conventions.md").read_text()
    documented = set(re.findall(r"`([^`]+)`", text.split(heading)[1].split("\n## ")[0]))
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    files = {re.sub(r"/\d\.", "/B.", name) for name in files}
    files = {"artifact/" if name.startswith("artifact/") else name for name in files}
    assert files, f"{folder} is empty"
    assert files <= documented, files - documented


@pytest.mark.parametrize("block", [b for p in PAGES for b in blocks(p, "toml")])
def test_toml_is_an_experiment(block, tmp_path):
    path = tmp_path / "experiment.toml"
    path.write_text(block)
    assert load_experiment(path) != ExperimentConfig()


def allowed(annotation):
    parts = [annotation, *get_args(annotation)]
    found = next((get_args(part) for part in parts if get_origin(part) is Literal), ())
    return ", ".join(f"`{value}`" for value in found)


def as_toml(value):
    if isinstance(value, tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def meanings(config):
    """The strings under a section's fields, its bases' first."""
    found = {}
    for each in reversed(config.__mro__[: config.__mro__.index(Config)]):
        (section,) = ast.parse(dedent(inspect.getsource(each))).body
        for field, below in pairwise(section.body):
            if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                found[field.target.id] = inspect.cleandoc(below.value.value)
    return found


def option_rows(config):
    described = meanings(config)
    for name, field in config.model_fields.items():
        meaning = " ".join(described[name].split()).replace("|", "\\|")
        default = as_toml(field.default)
        yield f"| `{name}` | `{default}` | {allowed(field.annotation)} | {meaning} |"


@pytest.mark.parametrize("section", SECTIONS)
def test_the_tables_of_options_are_those_of_the_code(section):
    text = (ROOT / "docs" / "guide" / "conventions.md").read_text()
    table = text.split(f"### `[{section}]`")[1].split("\n#")[0]
    assert table_rows(table) == list(option_rows(SECTIONS[section]))


def table_rows(text):
    return [line for line in text.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_page_with_its_options(model):
    text = (ROOT / "docs" / "models" / f"{model}.md").read_text()
    table = text.split("## Options\n")[1].split("\n## ")[0]
    assert table_rows(table) == list(option_rows(MODELS[model].config))


@pytest.mark.parametrize("model", MODELS)
def test_the_conventions_name_every_model(model):
    assert f"models/{model}.md" in (ROOT / "docs" / "guide" / "conventions.md").read_text()


@pytest.mark.parametrize("model", sorted(set(MODELS) - {"cigf"}))
def test_every_model_has_a_matched_experiment(model):
    experiment = load_experiment(ROOT / "experiments" / "matched" / f"{model}.toml")
    assert experiment.model_name == model
    assert experiment.model.model_dump().get("embedding_size", 16) == 16


def test_the_table_of_metrics_is_that_of_the_code():
    text = (ROOT / "docs" / "guide" / "protocols.md").read_text()
    assert {f"{name}@k" for name in METRICS} | {"mrr"} == set(
        re.findall(
            r"^\| `([a-z]+(?:@k)?)` \|.*\|.*\|$",
            text.split("## Metrics")[1].split("\n## ")[0],
            re.MULTILINE,
        )
    )


GOOD = "user_id,item_id,behavior,timestamp\n" + "".join(
    f"u{u},i{i},{b},{1_735_689_600 + 60 * (7 * u + i)}\n"
    for u in range(5)
    for i in range(3)
    for b in ("view", "cart", "buy")
)
BAD_LOGS = {
    "column 'user_id' not found": (GOOD.replace("user_id", "who"), {}),
    "unknown behavior 'lend'": (GOOD.replace("cart", "lend"), {}),
    "behavior 'cart' has no events": (GOOD.replace("cart", "view"), {}),
    "target 'sell' is not among the behaviors": (GOOD, {"target": "sell"}),
    "the file is empty": ("", {}),
    "pass --on-error skip": (GOOD.replace("u3,", ",", 1), {}),
    "only one user": (re.sub(r"(?m)^u\d,", "u0,", GOOD), {"split": "none"}),
    "no user has two buy pairs": (re.sub(r"i[12],buy", "i0,buy", GOOD), {}),
    "the log has no times": (re.sub(r"(?m),[^,]*$", "", GOOD), {"split": "time"}),
    "are not in training": (GOOD, {"test": "user_id,item_id\nu9,i0\n"}),
    "are also in training": (GOOD, {"test": "user_id,item_id\nu1,i0\n"}),
}


@pytest.mark.parametrize("message", BAD_LOGS)
def test_messages_are_those_of_the_guide(message, tmp_path):
    assert f"| `{message}` |" in (ROOT / "docs" / "guide" / "own-data.md").read_text()
    log, options = BAD_LOGS[message]
    options = dict(options)
    (tmp_path / "log.csv").write_text(log)
    test = options.pop("test", None)
    if test is not None:
        (tmp_path / "test.csv").write_text(test)
        test = tmp_path / "test.csv"
    with pytest.raises(CigfError, match=re.escape(message)):
        prepare(tmp_path / "log.csv", tmp_path / "out", PrepareOptions.parse(options), test)


def test_the_files_of_a_dataset_are_those_of_the_conventions(tmp_path):
    (tmp_path / "log.csv").write_text(GOOD)
    prepare(tmp_path / "log.csv", tmp_path / "dataset", PrepareOptions())
    text = (ROOT / "docs" / "guide" / "conventions.md").read_text()
    documented = text.split("## Dataset folder")[1].split("\n## ")[0]
    for path in (tmp_path / "dataset").iterdir():
        general = re.sub(r"\.\d\.", ".B.", path.name, count=1)
        general = re.sub(r"\.\d\.", ".SEED.", general).replace("valid", "PART")
        assert f"`{general.replace('test', 'PART')}`" in documented, path.name


def test_the_table_of_limits_is_that_of_the_code():
    text = (ROOT / "docs" / "guide" / "serving.md").read_text()
    rows = [line for line in text.split("## Limits")[1].splitlines() if line.startswith("| `")]
    assert rows == [row.replace(" |  | ", " | ") for row in option_rows(Limits)]


def test_every_place_names_the_same_versions_of_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [each.rsplit(" ", 1)[1] for each in project["classifiers"] if "Python :: 3." in each]
    oldest, newest = named[0], named[-1]
    too_new = f"3.{int(newest.removeprefix('3.')) + 1}"
    assert project["requires-python"] == f">={oldest},<{too_new}"
    for page in ("README.md", "CONTRIBUTING.md", "Makefile"):
        assert f"Python {oldest} to {newest}" in (ROOT / page).read_text(), page
    limits = [f"(3, {each.removeprefix('3.')})" for each in (oldest, too_new)]
    assert f"{limits[0]} <= sys.version_info < {limits[1]}" in (ROOT / "Makefile").read_text()
