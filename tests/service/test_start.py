"""What a server loads before it is ready, and what only when somebody needs it."""

import subprocess
import sys

SCRIPT = """
import sys
from pathlib import Path
from cigf.service.app import build_app
from cigf.service.asked import ListRequest
from cigf.service.service import RecommenderService
from cigf.service.settings import Tokens
service = RecommenderService({"shop": Path(sys.argv[1])}, Path(sys.argv[2]))
build_app(service, Tokens(), lambda: 0.0)
found = service.recommend(ListRequest(("u3", "nobody"))).result()
print([each.items for each in found], "torch" in sys.modules)
service.recommend(ListRequest((None,), done={"view": ("101",)})).result()
print("torch" in sys.modules)
"""


def test_a_server_answers_without_torch_until_it_has_to_fold_in(folder, tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(folder), str(tmp_path / "log")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = done.stdout.splitlines()
    assert before.startswith("[[1")
    assert before.endswith(" False")
    assert after == "True"
