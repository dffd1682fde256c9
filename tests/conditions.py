"""Under which conditions are tests run and notebooks saved?

Without a network (`guard/sitecustomize.py`), without the user's own settings, and without progress bars.
"""

import importlib.util
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GUARD = ROOT / "tests" / "guard"
LOG_VARIABLE = "TL_HELPERS_NETWORK_LOG"
# Nobody answers there, so programs that are not Python and would use a proxy get nowhere either.
DEAD_END = "http://127.0.0.1:9"


def are_set():
    """Say whether a parent process has set the conditions, so that this one inherits them."""
    return str(GUARD) in os.environ.get("PYTHONPATH", "").split(os.pathsep)


def impose(folder):
    """Set the conditions for this process and for every process that it starts.

    Parameters
    ----------
    folder : pathlib.Path
        A temporary folder, for settings and for the list of attempts to reach the network.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(GUARD), os.environ.get("PYTHONPATH")]))
    os.environ[LOG_VARIABLE] = str(folder / "network.log")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ[name] = os.environ[name.lower()] = DEAD_END
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1,::1"
    profile = folder / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    # Every kernel warns that it talks over TCP, after the test results and for nobody to act on.
    (profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 'ERROR'\n", encoding="utf-8")
    os.environ["IPYTHONDIR"] = str(folder / "ipython")
    os.environ["JUPYTER_CONFIG_DIR"] = str(folder / "jupyter")
    os.environ["TL_HELPERS_PREDICTIONS"] = str(folder / "predictions.json")  # not the user's own
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TQDM_DISABLE"] = "1"
    for name in ("MPLBACKEND", "TL_HELPERS_DATA"):
        os.environ.pop(name, None)
    specification = importlib.util.spec_from_file_location("network_guard", GUARD / "sitecustomize.py")
    specification.loader.exec_module(importlib.util.module_from_spec(specification))


def network_attempts(folder):
    """Return what was written down in `folder` about attempts to reach the network: a list of lines."""
    log = folder / "network.log"
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []
