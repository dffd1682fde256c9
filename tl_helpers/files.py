"""Where are the shipped data, and are they intact?

Every shipped file is listed in ``data/SHA256SUMS``, whose last line is a checksum of the lines above it. Whatever the
kit reads, it reads through :func:`read_verified`, which hands out the bytes whose checksum it has just compared: what
was checked is what gets decoded.
"""

import contextlib
import hashlib
import io
import os
import tempfile
from pathlib import Path

import numpy as np

ENVIRONMENT_VARIABLE = "TL_HELPERS_DATA"
CHECKSUMS = "SHA256SUMS"


_files_read = {}


class DataError(OSError):
    """A shipped data file is missing, damaged or not what the kit expects."""


def data_folder():
    """Return the folder that holds the shipped data.

    That is ``$TL_HELPERS_DATA`` where it is set, otherwise ``data/`` beside the package, as in a clone.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    DataError
        If the folder is not there or holds no ``SHA256SUMS``. The message names both cures.
    """
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    folder = Path(chosen).expanduser() if chosen else Path(__file__).resolve().parent.parent / "data"
    if (folder / CHECKSUMS).is_file():
        return folder
    if chosen:
        raise DataError(
            f"{ENVIRONMENT_VARIABLE} points to {folder}, which holds no {CHECKSUMS}. "
            f"Point it to the data/ folder of a clone of the kit, or unset it."
        )
    raise DataError(
        f"The kit's data are not here (looked in {folder}). `pip install` of the package brings the code alone: "
        f"clone the repository and set {ENVIRONMENT_VARIABLE} to its data/ folder, or work inside the clone."
    )


def _cure(relative):
    return (
        f"Restore it with `git checkout -- data/{relative}` in the clone; if that does not help, clone the repository "
        f"anew (a file manager or a sync service may have changed it)."
    )


def _parse_checksums(text, origin):
    entries = {}
    lines = text.splitlines()
    seal = lines.pop() if lines and lines[-1].startswith("#") else None
    for number, line in enumerate(lines, start=1):
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != 64 or set(digest) - set("0123456789abcdef") or not name:
            raise DataError(f"{origin}, line {number} is damaged. {_cure(CHECKSUMS)}")
        entries[name] = digest
    if seal is None:
        raise DataError(
            f"{origin} does not end with its own checksum: it was emptied or shortened, or belongs to an earlier "
            f"version of the kit. {_cure(CHECKSUMS)}"
        )
    if checksum_list(entries).splitlines() != [*lines, seal]:
        raise DataError(
            f"{origin} is damaged: lines were added, removed or changed after it was written. {_cure(CHECKSUMS)}"
        )
    return entries


def checksum_list(entries):
    """Write the list of checksums.

    Parameters
    ----------
    entries : dict of str to str
        What :func:`checksums` returns.

    Returns
    -------
    str
        The text of ``SHA256SUMS``, as ``sha256sum --check`` reads it; the last line, a comment, seals the others.
    """
    text = "".join(f"{digest}  {name}\n" for name, digest in entries.items())
    return f"{text}# {hashlib.sha256(text.encode()).hexdigest()} of the lines above\n"


def checksums():
    """Return the listed checksums.

    Returns
    -------
    dict of str to str
        Path relative to the data folder, with forward slashes → SHA-256 in lower-case hexadecimal.

    Raises
    ------
    DataError
        If the list is missing, shortened or changed in any other way.
    """
    path = data_folder() / CHECKSUMS
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path} is damaged: it is not text. {_cure(CHECKSUMS)}") from None
    return _parse_checksums(text, str(path))


def read_verified(relative):
    """Read a shipped file and return its bytes, having compared their SHA-256 with the listed one.

    Parameters
    ----------
    relative : str
        Path relative to the data folder, such as ``"street/garments.png"``.

    Returns
    -------
    bytes

    Raises
    ------
    DataError
        If the file is not listed, missing, truncated or changed. The message names the file and the cure.
    """
    listed = checksums().get(relative)
    path = data_folder() / relative
    if listed is None:
        raise DataError(f"{relative} is not listed in {CHECKSUMS}, so it is no file of this kit. {_cure(CHECKSUMS)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). {_cure(relative)}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != listed:
        raise DataError(
            f"{path} is damaged: its SHA-256 is {found[:12]}…, and {CHECKSUMS} says {listed[:12]}… "
            f"({len(content):,} bytes read). {_cure(relative)}"
        )
    _files_read[relative] = found
    return content


def files_read():
    """Return which shipped files this process has read so far: what a result computed here may depend on.

    Returns
    -------
    dict of str to str
        Path relative to the data folder → SHA-256.
    """
    return dict(_files_read)


def verify_all():
    """Check every shipped file.

    Returns
    -------
    list of str
        One message per missing or damaged file; empty when all is well.
    """
    problems = []
    try:
        listed = checksums()
    except DataError as error:
        return [str(error)]
    for relative in listed:
        try:
            read_verified(relative)
        except DataError as error:
            problems.append(str(error))
    return problems


def read_arrays(relative):
    """Read a shipped ``.npz`` archive (never pickled objects).

    Parameters
    ----------
    relative : str
        Path relative to the data folder.

    Returns
    -------
    dict of str to numpy.ndarray

    Raises
    ------
    DataError
        See :func:`read_verified`.
    """
    with np.load(io.BytesIO(read_verified(relative)), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def read_table(relative):
    """Read a shipped CSV file as a pandas frame. Empty cells become empty strings, whole numbers integers.

    Parameters
    ----------
    relative : str
        Path relative to the data folder.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    DataError
        See :func:`read_verified`.
    """
    import pandas  # not at the top: workers, which know this module from the start, may have no use for it

    return pandas.read_csv(io.BytesIO(read_verified(relative)), keep_default_na=False)


def read_sheet(relative, count, size, mode):
    """Decode a contact sheet: one lossless picture holding many small ones, row by row from the top left.

    Parameters
    ----------
    relative : str
        Path relative to the data folder of a PNG or lossless WebP file whose width is a multiple of `size`.
    count : int
        How many pictures the sheet holds.
    size : int
        Side of each square picture in pixels.
    mode : {"L", "RGB", "RGBA"}
        Colour mode to decode to: 1, 3 or 4 channels.

    Returns
    -------
    numpy.ndarray
        ``uint8``, shape ``(count, size, size, channels)``, values 0…255.

    Raises
    ------
    DataError
        See :func:`read_verified`; also if the sheet is too small for `count` pictures.
    """
    from PIL import Image  # likewise

    content = read_verified(relative)
    sheet = np.asarray(Image.open(io.BytesIO(content)).convert(mode))
    sheet = sheet.reshape(*sheet.shape[:2], -1)
    rows, columns = sheet.shape[0] // size, sheet.shape[1] // size
    if rows * columns < count:
        raise DataError(f"{relative} holds {rows * columns} pictures of {size} pixels where {count} are expected.")
    tiles = sheet[: rows * size, : columns * size].reshape(rows, size, columns, size, -1).swapaxes(1, 2)
    return np.ascontiguousarray(tiles.reshape(rows * columns, size, size, -1)[:count])


@contextlib.contextmanager
def atomic_path(path):
    """Give a temporary path beside `path` and rename it to `path` when the block ends without an error.

    A run that is killed half-way, or a full disk, therefore never leaves half a file under the final name.

    Parameters
    ----------
    path : path-like
        Where the finished file shall stand. Its folder is made if missing.

    Yields
    ------
    pathlib.Path
        The temporary path to write to; it keeps the suffix of `path`.
    """
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o666 & ~mask)  # mkstemp's files are for their owner alone
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
