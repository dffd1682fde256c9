"""Write data/SHA256SUMS: run it after anything under data/ has changed."""

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tl_helpers.files import checksum_list

DATA = Path(__file__).resolve().parent.parent


def shipped_files():
    """Yield every shipped file: all of data/ but the build scripts, the READMEs and the list itself."""
    for path in sorted(DATA.rglob("*")):
        relative = path.relative_to(DATA)
        if path.is_file() and relative.parts[0] != "build" and path.name not in ("README.md", "SHA256SUMS"):
            if not any(part.startswith((".", "__")) for part in relative.parts):
                yield relative.as_posix()


if __name__ == "__main__":
    entries = {name: hashlib.sha256((DATA / name).read_bytes()).hexdigest() for name in shipped_files()}
    (DATA / "SHA256SUMS").write_bytes(checksum_list(entries).encode())
    print(f"{len(entries)} files listed")
