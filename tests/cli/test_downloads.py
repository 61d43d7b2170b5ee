import io

from rich.console import Console

from cigf.cli.downloads import DownloadProgress


def download(console):
    with DownloadProgress(console) as progress:
        progress("trn_buy", 0, 1000)
        progress("trn_buy", 1000, 1000)
        progress("tst_int", 10, None)


def test_without_a_terminal_each_file_is_one_plain_line():
    console = Console(file=io.StringIO(), width=80)
    download(console)
    assert console.file.getvalue() == "Downloading trn_buy\nDownloading tst_int\n"


def test_on_a_terminal_each_file_has_a_bar():
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    download(console)
    text = console.file.getvalue()
    assert "trn_buy" in text
    assert "1.0/1.0 kB" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
