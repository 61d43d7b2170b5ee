import json

from cigf.cli.output import print_json, print_next, print_table, warn_all


def test_json_keeps_what_it_was_given(capsys):
    value = {"ids": ["ü", 1], "x": 0.1, "none": None}
    print_json(value)
    out, err = capsys.readouterr()
    assert json.loads(out) == value
    assert "ü" in out
    assert err == ""


def test_a_table_goes_to_stdout_with_numbers_to_the_right(capsys):
    print_table(("id", "n", "value"), [("[red]a", 5, 0.25), ("b", 12345, None)], title="T [b]")
    out, err = capsys.readouterr()
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0] == "T [b]"
    assert [lines[2].split(), lines[4].split(), lines[5].split()] == [
        ["id", "n", "value"],
        ["[red]a", "5", "0.2500"],
        ["b", "12,345"],
    ]
    assert lines[4].index(" 5 ") + 1 == lines[5].index("12,345") + 5
    assert err == ""


def test_long_ids_are_not_cut(capsys):
    print_table(("id",), [("x" * 150,)])
    assert "x" * 150 in capsys.readouterr().out


def test_booleans_are_words(capsys):
    print_table(("flag",), [(True,), (False,)])
    assert "true" in capsys.readouterr().out


def test_remarks_go_to_stderr(capsys):
    warn_all(["mind this"], {"repeated events": 1234})
    print_next("cigf train D")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "Left out: 1,234 (repeated events)",
        "Note: mind this",
        "Next:",
        "    cigf train D",
    ]
