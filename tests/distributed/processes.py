"""Commands run by several processes, as torchrun would start them; and how some of them die."""

import os
import signal
import sys
from multiprocessing import get_context
from pathlib import Path

from torch.distributed import TCPStore

from cigf.training.trainer import Trainer

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["cigf.cli.main", "cigf.experiment.training", "cigf.cli.progress", "torch.distributed.tensor"]
)


def die_in_step(number):
    """Let this process be killed in its `number`-th step."""
    plain, steps = Trainer._step, [0]

    def step(self, *arguments):
        steps[0] += 1
        if steps[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, *arguments)

    Trainer._step = step


def _work(rank, environment, arguments, dies, out):
    os.environ |= {**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)}
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{out}.{rank}.{name}", os.O_CREAT | os.O_WRONLY), number)
    if rank in dies:
        die_in_step(dies[rank])
    from cigf.cli.main import app

    try:
        app(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def run_ranks(n_ranks, *arguments, out, dies=None):
    """Run a command on several ranks.

    Args:
        n_ranks: Their number.
        arguments: The command's.
        out: Path to which what they print is written, with a number behind it.
        dies: In which step of its own a rank is killed.

    Returns:
        Exit codes, and what each printed on stdout and stderr.
    """
    # Held by the test, on a port that the system chose, as torchrun's agent holds it.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    environment = {
        "WORLD_SIZE": str(n_ranks),
        "LOCAL_WORLD_SIZE": str(n_ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "OMP_NUM_THREADS": "1",
    }
    command = [str(each) for each in arguments]
    processes = [
        _CONTEXT.Process(target=_work, args=(rank, environment, command, dies or {}, str(out)))
        for rank in range(n_ranks)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    printed = [
        tuple(Path(f"{out}.{rank}.{name}").read_text() for name in ("out", "err"))
        for rank in range(n_ranks)
    ]
    return [process.exitcode for process in processes], printed
