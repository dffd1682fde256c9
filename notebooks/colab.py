"""Is the kit that a notebook fetched on Colab whole, and can Python find it? The first cell of a notebook runs this.

    python kit/notebooks/colab.py

Prints nothing where all is well, otherwise one sentence: what is wrong, and what to do.
"""

import subprocess
import sys
from pathlib import Path

KIT = Path(__file__).resolve().parents[1]


def main():
    log = KIT.parent / "kit.log"
    sys.path.insert(0, str(KIT))
    try:
        from tl_helpers.files import verify_all

        damaged = verify_all()
    except (ImportError, OSError) as error:
        damaged = [str(error)]
    if damaged:
        print(
            f"What was fetched is damaged ({damaged[0].partition('. ')[0]}): run this cell again."
        )
        return
    # As it lies there, beside its data, and without touching Colab's own packages.
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    with open(log, "a", encoding="utf-8") as opened:
        code = subprocess.run(
            [*pip, "--no-deps", "--editable", str(KIT)], stdout=opened, stderr=opened
        ).returncode
    if code != 0:
        print(
            f"pip could not install the kit ({log} says why): restart the session, then run this cell again."
        )
        return
    # Every Python that starts from now on finds it; the notebook's own has started, and looks into its folder.
    link = KIT.parent / "tl_helpers"
    link.unlink(missing_ok=True)
    link.symlink_to(KIT / "tl_helpers")


if __name__ == "__main__":
    main()
