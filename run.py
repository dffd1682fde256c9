"""Set the kit up and run it. Needs nothing but Python 3.11, 3.12 or 3.13.

    python run.py lab        make the environment, open JupyterLab on the first notebook
    python run.py test       make the environment, run every test (--quick: the fast ones; further words go to pytest)

    python run.py bench      measure speed against the usual way (further words choose what; --json FILE keeps it)
    python run.py results    make the stored results anew (further words choose which; --check tells which are stale)
    python run.py notebooks  execute the notebooks and save them with their outputs
    python run.py answers    write the answers to all exercises into answers.md, for whoever teaches
    python run.py publish    write the course's address everywhere (--repository URL --tag TAG: a new one)
    python run.py doctor     say what this machine has and whether the set-up is sound
    python run.py lock       make requirements.lock.txt anew (--upgrade: with the newest versions)
    python run.py clean      remove what this file made

The environment is .venv in this folder, with the versions and hashes of requirements.lock.txt.
"""

# This file must parse on any Python, so that an old one gets a sentence and not a SyntaxError: hence str.format.
from __future__ import print_function

# Until main() runs, Ctrl-C ends the process without a traceback. (The module signal itself takes long to import.)
try:
    import _signal
except ImportError:
    import signal as _signal
interruptible = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
if __name__ == "__main__" and interruptible:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import ast
import contextlib
import errno
import glob
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time

VERSIONS = ((3, 13), (3, 12), (3, 11))
# Where TensorFlow has wheels: what platform.system() and platform.machine() say there.
MACHINES = {"Linux": ("x86_64", "aarch64"), "Darwin": ("arm64",), "Windows": ("amd64",)}
GIGABYTES = 3.0  # 2.3 measured on Linux, where .venv and .uv share their files; the rest is for larger wheels
PYTHON_ORG = "https://www.python.org/downloads/"

# The folder's own name, by whichever link it was reached: the environment is bound to it.
ROOT = os.path.dirname((os.path.realpath if os.name == "posix" else os.path.abspath)(__file__))
LOCK = os.path.join(ROOT, "requirements.lock.txt")
PROJECT = os.path.join(ROOT, "pyproject.toml")
VENV = os.path.join(ROOT, ".venv")
DISCARDED = os.path.join(ROOT, ".venv.discarded")
MARKER = os.path.join(VENV, "made_by_run_py.txt")  # written first: this folder is ours to replace
STAMP = os.path.join(VENV, "complete.txt")  # written last: everything of this lock is installed
UV_HOME = os.path.join(ROOT, ".uv")  # uv's downloads, and its own Python where the user wanted one
UV_PYTHONS = os.path.join(UV_HOME, "python")
SCRIPTS, SUFFIX = ("Scripts", ".exe") if os.name == "nt" else ("bin", "")
PYTHON = os.path.join(VENV, SCRIPTS, "python" + SUFFIX)
UV = os.path.join(VENV, SCRIPTS, "uv" + SUFFIX)

PROBE = """
import os, platform, struct, sys, sysconfig
try:
    import ensurepip, venv
    complete = True
except ImportError:
    complete = False
if sys.version_info[0] > 2:
    repr = ascii  # the encoding of the output is anybody's guess
base = getattr(sys, "_base_executable", None) or sys.executable
variable = sysconfig.get_config_var
print(repr({
    "executable": base if os.path.exists(base) else sys.executable,
    "version": tuple(sys.version_info[:3]),
    "implementation": platform.python_implementation(),
    "free_threaded": bool(variable("Py_GIL_DISABLED")),
    "system": platform.system(),
    "machine": platform.machine(),
    "bits": 8 * struct.calcsize("P"),
    "musl": "musl" in str(variable("SOABI")) + str(variable("HOST_GNU_TYPE")),
    "venv": complete,
}))
"""

CHECKS = """
import psutil
from tl_helpers.session import check_machine
memory = psutil.virtual_memory()
print("OK    memory: {:.1f} of {:.1f} GiB free".format(memory.available / 2**30, memory.total / 2**30))
rows = check_machine()
for row in rows.itertuples():
    print("{:<4}  {}: {}".format(row.state, row.item, row.detail))
raise SystemExit(int((rows["state"] != "OK").any()))
"""

# What the verbs start that need the environment and nothing else; further words are passed on.
PROGRAMS = {
    "lab": ["-m", "jupyterlab"]
    + [
        "--ServerApp.root_dir=" + ROOT,
        "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb",
        # No calls home: neither for the list of extensions, nor for news, nor for updates.
        "--LabApp.extension_manager=readonly",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
        # A notebook that is opened and saved is the same file: no kernel's name, no version of Python.
        "--ContentsManager.pre_save_hook=tl_helpers.saving.leave_out_the_machine",
    ],
    # On all cores (`tests/speed.py`). A file's tests share what they have made: they stay in one process.
    "test": ["-m", "pytest", "--numprocesses=auto", "--dist=loadfile", "--no-loadscope-reorder", "--durations=10"],
    "bench": ["-m", "tests.benchmarks.bench"],
    "results": ["-m", "tl_helpers", "results"],
    "notebooks": ["-m", "tests.notebooks.save"],
    "answers": ["-m", "tl_helpers", "answers"],
    "publish": ["-m", "tests.notebooks.publish"],
}

NO_NEWS = '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}\n'

# Variables that let in modules, or make pip and uv install things or in places, that are not those of the lock.
NOT_PASSED_ON = """
PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONSAFEPATH PYTHONOPTIMIZE PYTHONINSPECT PYTHONPLATLIBDIR PYTHONEXECUTABLE
PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_DRY_RUN PIP_REQUIREMENT PIP_CONSTRAINT PIP_EDITABLE
PIP_PLATFORM PIP_PYTHON_VERSION PIP_IMPLEMENTATION PIP_ABI
UV_CONSTRAINT UV_OVERRIDE UV_EXCLUDE UV_REQUIRE_HASHES UV_NO_VERIFY_HASHES UV_NO_EDITABLE UV_WORKING_DIR
""".split()


class Refusal(Exception):
    """The set-up cannot go on. The message says why, and what to do."""


def say(text):
    encoding = sys.stdout.encoding or "ascii"
    try:
        print(text)
    except UnicodeEncodeError:  # a folder's name need not fit the terminal
        print(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


# --- What the operating system refuses


def not_yours(path):
    """Return the sentences for a file or folder that this user may not change."""
    try:
        import pwd

        owner = " (it belongs to {})".format(pwd.getpwuid(os.stat(path).st_uid).pw_name)
    except (ImportError, KeyError, OSError):
        owner = ""
    return (
        "You may not change {}{}.\nIf run.py was once started with sudo:  sudo chown -R $(id -u) '{}'\n"
        "Otherwise copy the whole folder to a place of your own, without .venv and .uv, and start run.py there."
    ).format(path, owner, ROOT)


def advice(error):
    """Return what an OSError means for the set-up and what to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk or your share of it is full ({}). Free some and run the same command again.".format(error)
    if error.filename in (PYTHON, UV):
        return "A program of .venv cannot be started: is this disk mounted noexec? Move the folder. ({})".format(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "{} ({})".format(not_yours(error.filename or ROOT), error)
    return str(error)


def check_permissions():
    """Raise Refusal where this user may not change what run.py makes."""
    made = [VENV, DISCARDED, UV_HOME, os.path.join(UV_HOME, "cache")]
    for folder in [ROOT] + made + glob.glob(os.path.join(ROOT, "*.egg-info")):
        if os.path.isdir(folder) and not os.access(folder, os.W_OK):
            raise Refusal(not_yours(folder))


def check_disk():
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < GIGABYTES:
        raise Refusal(
            "Too little disk: the environment needs {:.1f} GB and {:.1f} GB are free in {}.\n"
            "Free some, or move this folder to a larger disk.\n{}".format(GIGABYTES, free, ROOT, in_the_browser())
        )


def check_disk_after_failure():
    """Raise Refusal where a step has probably failed because a disk has become full."""
    import tempfile

    for folder in (ROOT, tempfile.gettempdir()):
        free = shutil.disk_usage(folder).free / 1e9
        if free < 0.3:
            raise Refusal(
                "The disk is full: {:.1f} GB are left in {}. The environment needs {:.1f} GB in all.\n"
                "Free some and run the same command again: what is downloaded stays.".format(free, folder, GIGABYTES)
            )


# --- Running other programs


def own_environment():
    """Return this process's variables without those that let in anything but .venv."""
    environment = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    environment["PYTHONNOUSERSITE"] = "1"
    return environment


def program_environment():
    """Return the variables for programs of .venv: paths are UTF-8 there, also where the locale knows ASCII alone."""
    environment = own_environment()
    if os.name == "posix" and sys.getfilesystemencoding().lower() not in ("utf-8", "utf8"):
        environment["PYTHONUTF8"] = "1"
    environment.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # a user's own kernel "python3" is another Python
    return environment


def network_environment():
    """Return variables with proxies and certificates named the way both pip and uv look for them."""
    from urllib.request import getproxies

    environment = program_environment()
    for scheme, address in getproxies().items():
        if scheme in ("http", "https", "no"):
            environment.setdefault(scheme.upper() + "_PROXY", address)
    for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if os.path.isfile(environment.get(name, "")):
            environment.setdefault("SSL_CERT_FILE", environment[name])
            environment.setdefault("PIP_CERT", environment[name])
            break
    if "UV_NATIVE_TLS" not in environment:
        environment.setdefault("UV_SYSTEM_CERTS", "1")
    environment.setdefault("UV_CACHE_DIR", os.path.join(UV_HOME, "cache"))
    environment.setdefault("UV_COMPILE_BYTECODE", "1")  # pip does it unasked; it takes 12 s off the first notebook
    environment["PIP_USER"] = "0"
    return environment


def call(command):
    """Run one step and return its exit code. What interrupts this process ends the step, children and all."""
    # A session of its own: Ctrl-C reaches run.py alone, which then ends the step without anybody's traceback. The
    # lock file stays open in it: even a step that outlives a killed run.py keeps the next launcher waiting.
    own = os.name == "posix"
    child = subprocess.Popen(command, cwd=ROOT, env=network_environment(), start_new_session=own, close_fds=not own)
    try:
        return child.wait()
    except BaseException:
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGTERM) if own else child.terminate()
        child.wait()
        raise


def become(command):
    """Let `command` take this process's place, so that Ctrl-C and the exit code are its own (Windows: wait for it)."""
    environment = program_environment()
    home = os.path.expanduser("~")
    if os.name == "posix" and not os.access(home, os.W_OK):
        import tempfile

        environment["HOME"] = tempfile.mkdtemp(prefix="transfer-learning-kit-home-")
        say("Your home {} cannot be written to: for this time it is {}".format(home, environment["HOME"]))
    sys.stdout.flush()
    os.chdir(ROOT)
    if os.name == "posix":
        os.execve(command[0], command, environment)
    child = subprocess.Popen(command, env=environment)
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            return child.wait()


# --- Which Python


def probe(command):
    """Return what the interpreter started by `command` says of itself, or None if it does not run."""
    try:
        piped = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.PIPE)
        child = subprocess.Popen(command + ["-c", PROBE], env=own_environment(), **piped)
        return ast.literal_eval(child.communicate()[0].decode("utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None


def candidates():
    """Yield the commands that may start a fitting Python: this one, then the usual names and places."""
    names = ["python{}.{}".format(*version) for version in VERSIONS]
    yield [sys.executable]
    for name in names + ["python3", "python"]:
        yield [name]
    if os.name == "nt":
        for version in VERSIONS:
            yield ["py", "-{}.{}".format(*version)]
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser(os.path.join("~", ".pyenv"))
    for folder in (os.path.join(pyenv, "versions"), UV_PYTHONS):
        for name in [os.path.join("bin", name) for name in names] + ["python.exe"]:
            for path in sorted(glob.glob(os.path.join(folder, "*", name))):
                yield [path]


def obstacle(found):
    """Return why this interpreter cannot carry the kit, as (kind, sentence), or None if it can."""
    version = "{}.{}.{}".format(*found["version"])
    if found["bits"] != 64:
        return "platform", "Python {} here is a 32-bit build".format(version)
    if found["musl"]:
        return "platform", "this is a Linux with musl (such as Alpine)"
    if found["machine"].lower() not in MACHINES.get(found["system"], ()):
        return "platform", "this is {} on {}".format(found["system"], found["machine"])
    if found["implementation"] != "CPython" or found["free_threaded"]:
        return "version", "Python {} here is not the usual CPython build".format(version)
    if found["version"][:2] not in VERSIONS:
        return "version", "this is Python {}".format(version)
    if not found["venv"]:
        return "venv", "Python {} here lacks venv or ensurepip".format(version)
    return None


def in_the_browser():
    """Return where the notebooks run without any set-up."""
    project = read(PROJECT)
    address = re.search(r'^Repository = "https://github.com/([^"]+)"', project, re.MULTILINE)
    tag = re.search(r'^tag = "([^"]+)"', project, re.MULTILINE)
    if address is None or tag is None:
        return "(Once this course is published, it also runs in the browser, on Colab and Binder, without any set-up.)"
    return (
        "Work in the browser instead, with nothing to install:\n"
        "  Colab   https://colab.research.google.com/github/{0}/blob/{1}/notebooks/00_start_here.ipynb\n"
        "  Binder  https://mybinder.org/v2/gh/{0}/{1}?urlpath=lab/tree/notebooks/00_start_here.ipynb"
    ).format(address.group(1), tag.group(1))


def find_python(may_ask=True):
    """Return the path of a fitting interpreter. Raises Refusal with the cure where there is none."""
    obstacles = []
    for command in candidates():
        found = probe(command)
        hindrance = obstacle(found) if found else None
        if found and hindrance is None:
            return found["executable"]
        if found:
            obstacles.append(hindrance + (found,))
    if not obstacles:
        raise Refusal("No Python here answers, not even {}. Install 3.12 from {}".format(sys.executable, PYTHON_ORG))
    kind, sentence, found = obstacles[0]
    if kind == "platform":
        raise Refusal(
            "TensorFlow has no package for this machine: {}.\n"
            "It has them for 64-bit Python on Linux (glibc, x86_64 or aarch64), Windows (x86_64), Apple Silicon.\n"
            "If that is what you have, your Python is an odd build: install 3.12 from {}\n"
            "{}".format(sentence, PYTHON_ORG, in_the_browser())
        )
    for kind, reason, other in obstacles:
        if kind == "venv":
            package = "python{}.{}-venv".format(*other["version"])
            raise Refusal(
                "The environment cannot be made: {}.\nOn Debian and Ubuntu:  sudo apt install {}\n"
                "Elsewhere: install Python 3.12 from {}".format(reason, package, PYTHON_ORG)
            )
    need = "The kit needs Python 3.11, 3.12 or 3.13; {}, and no other was found.".format(sentence)
    cure = "{}\nInstall 3.12 from {} and run this again.\n{}".format(need, PYTHON_ORG, in_the_browser())
    asking = may_ask and sys.stdin and sys.stdin.isatty()
    if found["version"] < (3, 8) or not found["venv"] or not asking:
        raise Refusal(cure)
    say(need + "\nuv can fetch 3.12 into the folder .uv here (about 35 MB; `run.py clean` removes it again).")
    if input("Fetch it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise Refusal(cure)
    return fetch_python(found["executable"], cure)


def fetch_python(base, cure):
    """Let uv download Python 3.12 into .uv and return its path. `base` is any Python that can make a venv."""
    bootstrap = os.path.join(UV_HOME, "bootstrap")
    step("fetching Python 3.12", [base, "-m", "venv", "--clear", bootstrap])
    install_uv(os.path.join(bootstrap, SCRIPTS, "python" + SUFFIX))
    uv = os.path.join(bootstrap, SCRIPTS, "uv" + SUFFIX)
    code = call([uv, "python", "install", "--install-dir", UV_PYTHONS, "--no-bin", "--no-registry", "3.12"])
    fetched = [command[0] for command in candidates() if command[0].startswith(UV_PYTHONS)]
    if code != 0 or not fetched:
        raise Refusal("uv could not fetch a Python.\n" + cure)
    return fetched[0]


# --- The environment


def read(path):
    """Return a text file's content, empty where there is no such file; bytes that are not UTF-8 are kept."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as text:
            return text.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def write(path, text):
    """Write a file so that it is there whole or not at all."""
    with open(path + ".part", "w", encoding="utf-8", errors="surrogateescape") as part:
        part.write(text)
    os.replace(path + ".part", path)


def wanted():
    """Return what the stamp says when the environment is complete: lock, metadata, place and Python, hashed."""
    parts = [read(path) for path in (LOCK, PROJECT, os.path.join(VENV, "pyvenv.cfg"))]
    return hashlib.sha256("\0".join([place()] + parts).encode("utf-8", "surrogateescape")).hexdigest()


def place():
    """Return this folder's name as files have it: the same text in every locale."""
    return os.fsencode(ROOT).decode("utf-8", "surrogateescape")


def venv_python():
    """Return what .venv's Python says of itself, or None if it does not run or another has taken its place."""
    made_with = re.search(r"^version\S* = (\d+\.\d+)", read(os.path.join(VENV, "pyvenv.cfg")), re.MULTILINE)
    found = probe([PYTHON]) if made_with else None
    return found if found and "{}.{}".format(*found["version"]) == made_with.group(1) else None


def in_step():
    """Say whether the environment is complete and fits the lock, this folder and its own Python."""
    return os.path.exists(PYTHON) and read(STAMP) == wanted() and venv_python() is not None


def reusable():
    """Say whether an environment, complete for some lock, can be brought up to date without making it anew."""
    found = venv_python() if read(STAMP) and read(MARKER) == place() else None
    return found is not None and obstacle(found) is None


def check_owned():
    """Raise Refusal where something else stands in the place of .venv or .uv."""
    for path, ours in ((VENV, is_ours()), (UV_HOME, os.path.isdir(UV_HOME))):
        if os.path.lexists(path) and not ours:
            kind = "link" if os.path.islink(path) else "folder" if os.path.isdir(path) else "file"
            raise Refusal(
                "There is a {} {} here that run.py did not make, so it is left alone.\n"
                "Move it away or delete it, then run this again: {}".format(kind, os.path.basename(path), path)
            )


def check_name():
    """Raise Refusal where no environment can be made because of this folder's path."""
    bad = "a {!r}".format(os.pathsep) if os.pathsep in ROOT else "bytes that are not UTF-8"
    if os.pathsep in ROOT or re.search("[\udc80-\udcff]", place()):
        raise Refusal("No environment can be made where a folder's name has {}: rename {}".format(bad, ROOT))


def is_ours():
    """Say whether .venv is a folder that run.py made, or was about to make when it was interrupted."""
    if os.path.islink(VENV) or not os.path.isdir(VENV):
        return False
    return os.path.exists(MARKER) or set(os.listdir(VENV)) <= {os.path.basename(MARKER) + ".part"}


def discard(folder):
    """Remove .venv or .uv, in two moves: an interrupted removal leaves a folder that is plainly rubbish."""
    shutil.rmtree(DISCARDED, ignore_errors=True)
    if os.path.isdir(folder):
        try:
            os.rename(folder, DISCARDED)
        except OSError as error:
            raise Refusal("{} cannot be removed; close JupyterLab. ({})".format(folder, error))
        shutil.rmtree(DISCARDED, ignore_errors=True)


def try_to_lock(opened):
    """Say whether this process now holds the lock. Where the file system has no locks, it counts as held."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(opened.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


@contextlib.contextmanager
def only_launcher():
    """Hold the set-up for this process alone. The system lets go when the process ends, however it ends."""
    check_permissions()
    path = os.path.join(ROOT, os.path.basename(__file__))
    with open(path, "a" if os.access(path, os.W_OK) else "r") as opened:
        if not try_to_lock(opened):
            say("Another run.py is setting up; waiting for it.")
            while not try_to_lock(opened):
                time.sleep(0.5)
        os.set_inheritable(opened.fileno(), True)
        yield


def step(doing, command):
    """Run one step of the set-up. Raises Refusal if it fails."""
    code = call(command)
    if code != 0:
        check_disk_after_failure()
        steering = sorted(name for name in own_environment() if name.startswith(("PIP_", "UV_")))
        raise Refusal(
            "Stopped while {} (exit code {}); the lines above say why.\n"
            "With the network or the proxy mended, run the same command again: what is downloaded stays.{}".format(
                doing, code, "\nThese variables have a say in it: {}.".format(", ".join(steering)) if steering else ""
            )
        )


def install_uv(python):
    """Put the uv of the lock, checked against its hashes, into the environment of `python`."""
    pin = re.search(r"^uv==(\S+) \\\n(?:    --hash=\S+(?: \\)?\n)+", read(LOCK), re.MULTILINE)
    if pin is None:
        raise Refusal("requirements.lock.txt is damaged. `git checkout requirements.lock.txt` restores it.")
    only_uv = os.path.join(os.path.dirname(os.path.dirname(python)), "uv.txt")
    write(only_uv, pin.group(0))
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-deps", "--only-binary=:all:"]
    step("fetching uv", pip + ["--require-hashes", "-r", only_uv])
    if not os.path.exists(os.path.join(os.path.dirname(python), "uv" + SUFFIX)):
        raise Refusal("pip put uv elsewhere: see target, prefix, root in `{} -m pip config list`.".format(python))


def make_venv():
    """Make .venv anew. Raises Refusal, before anything is removed, where no Python fits."""
    check_name()
    check_owned()
    base = find_python()
    discard(VENV)
    check_disk()
    say("[1/4] Making .venv with {} (Ctrl-C is safe: the next run goes on)".format(base))
    os.mkdir(VENV)
    write(MARKER, place())
    step("making .venv", [base, "-m", "venv", VENV])


def make_environment():
    """Bring .venv into step with the lock: made anew where it is missing or unfinished, else only what has changed."""
    if reusable():
        say("The lock or the package metadata has changed: bringing the environment up to date.")
        os.remove(STAMP)
    else:
        make_venv()
    say("[2/4] Fetching the installer uv")
    install_uv(PYTHON)
    say("[3/4] Installing the packages of requirements.lock.txt (about 0.6 GB to download the first time)")
    sync = [UV, "pip", "sync", "--python", PYTHON]
    if call(sync + ["--require-hashes", "--only-binary=:all:", LOCK]) != 0:
        check_disk_after_failure()
        say("uv did not get through; trying pip, which knows the settings in pip's own files (slower).")
        pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"]
        step("installing the packages", pip + ["-r", LOCK])
    say("[4/4] Installing the kit itself")
    kit = [UV, "pip", "install", "--python", PYTHON, "--no-deps", "--no-build-isolation", "--editable", "."]
    step("installing the kit", kit)
    # Matplotlib lists the fonts once and says so on stderr: now, and not in somebody's first notebook.
    prepare = "import compileall, matplotlib.font_manager; compileall.compile_dir('tl_helpers', quiet=1)"
    step("listing the fonts", [PYTHON, "-c", prepare])
    write(STAMP, wanted())


def ready():
    """Make sure that the environment is in step and return its Python."""
    if not in_step():
        with only_launcher():
            if not in_step():
                make_environment()
                say("The environment is ready.")
    return PYTHON


# --- The verbs


def lock(arguments):
    with only_launcher():
        if not os.path.exists(UV):
            make_venv()
            install_uv(PYTHON)
        options = ["--universal", "--generate-hashes", "--no-header", "--no-annotate", "--python-version", "3.11"]
        options += ["--all-extras", "--quiet", "--output-file", os.path.basename(LOCK)]
        step("making the lock", [UV, "pip", "compile", os.path.basename(PROJECT)] + options + arguments)
    say("Made requirements.lock.txt anew; the next `run.py test` installs it.")
    return 0


def complaint(check):
    """Return what a check says against going on, empty if nothing."""
    try:
        check()
    except Refusal as refusal:
        return "\n{}\n".format(refusal)
    return ""


def doctor(arguments):
    complete = in_step()
    found, no_python = {"version": sys.version_info[:3]}, ""
    try:
        found = venv_python() if complete else probe([find_python(may_ask=False)])
    except Refusal as refusal:
        no_python = "\n{}\n".format(refusal)
    in_the_way = "" if complete else complaint(check_permissions) + complaint(check_owned)
    free = shutil.disk_usage(ROOT).free / 1e9
    needed = 0.2 if complete else GIGABYTES
    version = ".".join(str(number) for number in found["version"])
    full = free < needed
    lines = [
        (not no_python, "Python {} on {} {}".format(version, platform.system(), platform.machine()) + no_python),
        (True, "{} processors; {}".format(os.cpu_count(), platform.platform())),
        (not full, "disk: {:.1f} GB free, {:.1f} GB needed".format(free, needed) + ("; free some" if full else "")),
        (complete, "environment in step with requirements.lock.txt (`run.py lab` makes or mends it)" + in_the_way),
    ]
    for good, text in lines:
        say(("OK    " if good else "FAIL  ") + text)
    healthy = complete and call([PYTHON, "-c", CHECKS]) == 0
    return 0 if healthy and all(good for good, text in lines) else 1


def clean(arguments):
    with only_launcher():
        mine = [VENV] if is_ours() else []
        mine += [DISCARDED, UV_HOME]
        mine += [os.path.join(ROOT, name) for name in (".pytest_cache", ".hypothesis", ".tl_cache", "__pycache__")]
        mine += glob.glob(os.path.join(ROOT, "*.egg-info"))
        for folder in ("tl_helpers", "tests", os.path.join("data", "build")):
            for here, folders, _ in os.walk(os.path.join(ROOT, folder)):
                mine += [os.path.join(here, name) for name in folders if name == "__pycache__"]
        mine = [path for path in mine if os.path.isdir(path) and not os.path.islink(path)]
        for path in mine:
            say("removing " + os.path.relpath(path, ROOT))
            if path in (VENV, UV_HOME):
                discard(path)
            shutil.rmtree(path, ignore_errors=True)
    left = [path for path in mine if os.path.exists(path)]
    if left:
        raise Refusal(not_yours(left[0]))
    say("Clean." if mine else "There is nothing to remove.")
    return 0


def in_container():
    """Say whether this runs in a container, whose loopback is not the machine's."""
    signs = ("/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")
    return bool(os.environ.get("container")) or any(os.path.exists(sign) for sign in signs)


def lab_words(arguments):
    """Return what JupyterLab must be told beyond PROGRAMS, after saying what root or a container needs."""
    given = " ".join(arguments)
    loopback = not re.search(r"--(ServerApp\.)?ip[= ](?!localhost|127\.|::1)", given)
    refused = hasattr(os, "geteuid") and os.geteuid() == 0 and not re.search("allow.root", given)
    if loopback and in_container():
        say(
            "In a container only programs inside it reach JupyterLab. From outside: publish port 8888 and start\n"
            "  python run.py lab --ip=0.0.0.0{}\nThe address it prints holds the token that keeps others out.".format(
                " --allow-root" if refused else ""
            )
        )
        if refused:
            say("Root's JupyterLab is let through here (--allow-root), for programs in this container alone.")
            return ["--ip=localhost", "--allow-root"]
    elif refused:
        say("JupyterLab does not start as root: be an ordinary user, or add --allow-root to this command.")
    return []


def without_news():
    """Keep JupyterLab from asking whether it may show news: the question covers cells, whatever `news_url` says."""
    folder = os.path.join(VENV, "etc", "jupyter", "labconfig")
    with contextlib.suppress(OSError):  # an environment that somebody else has made serves as well
        os.makedirs(folder, exist_ok=True)
        write(os.path.join(folder, "page_config.json"), NO_NEWS)


def main(arguments):
    if sys.version_info < (3, 4):
        say("The kit needs Python 3.11, 3.12 or 3.13; this is {}. Try: python3 run.py".format(sys.version.split()[0]))
        return 1
    verb, rest = (arguments + ["help"])[0], arguments[1:]
    own = {"doctor": doctor, "lock": lock, "clean": clean}
    if verb not in PROGRAMS and verb not in own:
        say(__doc__)
        return 0 if verb in ("help", "-h", "--help") else 2
    try:
        if interruptible:
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                if hasattr(signal, name):
                    signal.signal(getattr(signal, name), signal.default_int_handler)
        ignored = [name for name in NOT_PASSED_ON if os.environ.get(name)]
        if ignored:
            say("Not passed on, so that .venv alone counts: {}.".format(", ".join(ignored)))
        if verb in own:
            return own[verb](rest)
        command = [ready()] + PROGRAMS[verb]
        if verb == "lab":
            without_news()
            command += lab_words(rest)
        return become(command + rest)
    except (Refusal, OSError) as problem:
        say("\n{}".format(problem if isinstance(problem, Refusal) else advice(problem)))
        return 1
    except KeyboardInterrupt:
        say("\nStopped. Nothing is broken: the same command goes on from here.")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
