from cigf.reports.page import Strong, Table
from cigf.reports.texts import to_latex, to_markdown

TABLE = Table("A & B", ["name", "n_1", "x"], [["a|b", 1200, Strong("5 %")], ["c\\d", None, "*"]])


def test_markdown():
    assert to_markdown(TABLE) == (
        "**A & B**\n\n"
        "| name | n\\_1 | x |\n"
        "| --- | ---: | --- |\n"
        "| a\\|b | 1,200 | **5 %** |\n"
        "| c\\\\d |  | \\* |\n"
    )


def test_latex():
    assert to_latex(TABLE, "x").splitlines()[1:-2] == [
        r"\caption{A \& B}",
        r"\label{tab:x}",
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"name & n\_1 & x \\",
        r"\midrule",
        r"a|b & 1,200 & \textbf{5 \%} \\",
        r"c\textbackslash{}d &  & * \\",
        r"\bottomrule",
    ]
