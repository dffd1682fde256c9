"""How long does each notebook take, and what does it print today? Executes notebooks and saves them with their outputs.

    python run.py notebooks                                   all of them
    python run.py notebooks notebooks/00_start_here.ipynb     these

A notebook is saved only if it ran to its end, under the conditions of the tests, and with its litter stripped.
"""

import argparse
import contextlib
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests import conditions
from tests.notebooks import course
from tests.notebooks.rules import KERNEL, stripped
from tl_helpers.files import atomic_path


@contextlib.contextmanager
def peak_memory(interval=0.1):
    """Watch this process's children; the list that is handed out holds their largest common memory (bytes, RSS)."""
    peak, over = [0], threading.Event()

    def watch():
        while not over.wait(interval):
            total = 0
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    total += child.memory_info().rss
            peak[0] = max(peak[0], total)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def save(path):
    """Execute one notebook and save it with its outputs.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails; the file stays as it was.
    """
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}
    began = time.perf_counter()
    with peak_memory() as peak:
        NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources=place, record_timing=False, store_widget_state=False
        ).execute()
    notebook.metadata.kernelspec = KERNEL
    with atomic_path(path) as temporary:
        nbformat.write(stripped(notebook), temporary)
    print(f"{path.name}: {time.perf_counter() - began:.0f} s, at most {peak[0] / 2**20:.0f} MiB", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="run.py notebooks", description=__doc__.partition("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="files (default: all in notebooks/)")
    chosen = parser.parse_args().notebooks or sorted((conditions.ROOT / "notebooks").glob("*.ipynb"))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        conditions.impose(Path(name))
        for path in chosen:
            try:
                save(path)
            except CellExecutionError as error:
                raise SystemExit(f"{path.name} is left as it was: a cell failed.\n{error}") from None
        attempts = conditions.network_attempts(Path(name))
    if attempts:
        raise SystemExit("Something tried to reach the network:\n" + "\n".join(attempts))
    course.write()


if __name__ == "__main__":
    main()
