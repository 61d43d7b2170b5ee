from command_line import fails, run


def test_report_writes_a_page_and_says_what_to_mind(trained, tmp_path):
    out = tmp_path / "report.html"
    result = run("report", trained, "--out", out, "--bootstrap", 20, "--examples", 2)
    assert result.stdout == ""
    assert "Note: Only 5" in result.stderr
    assert result.stderr.splitlines()[-1] == f"Wrote {out}: open it in a browser"
    assert out.read_text().count('<article class="lists">') == 2
    assert "exists already" in fails("report", trained, "--out", out)


def test_report_needs_the_dataset_of_the_run(trained, tmp_path):
    out = tmp_path / "report.html"
    message = fails("report", trained, "--out", out, "--dataset", tmp_path)
    assert "not a dataset folder" in message
    assert not out.exists()
