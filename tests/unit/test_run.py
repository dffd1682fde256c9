"""Does run.py find a Python, refuse with a cure, make the environment once, and survive being interrupted?

Nothing is installed here: the steps are written down instead of run.
"""

import ast
import errno
import glob
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import namedtuple
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOOD = {
    "executable": "/usr/bin/python3.12",
    "version": (3, 12, 1),
    "implementation": "CPython",
    "free_threaded": False,
    "system": "Linux",
    "machine": "x86_64",
    "bits": 64,
    "musl": False,
    "venv": True,
}
OLD = GOOD | {"executable": "/usr/bin/python3", "version": (3, 9, 2)}
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")


def fill(folder):
    """Copy what run.py needs into a project folder."""
    for name in ("run.py", "requirements.lock.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)


def load(path):
    """Return a run.py as a module."""
    specification = importlib.util.spec_from_file_location("run_under_test", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return run.py as a module that lives in a project folder of its own."""
    fill(tmp_path)
    module = load(tmp_path / "run.py")
    module.interruptible = False  # pytest's own signal handlers stay
    for name in module.NOT_PASSED_ON:
        monkeypatch.delenv(name, raising=False)
    return module


def pretend_to(run, command):
    """Leave behind what a step of the set-up would."""
    if "venv" in command:
        scripts = Path(command[-1], run.SCRIPTS)
        scripts.mkdir(parents=True)
        os.symlink(sys.executable, scripts / Path(run.PYTHON).name)
        Path(command[-1], "pyvenv.cfg").write_text("version = {}.{}.{}\n".format(*sys.version_info))
    elif "--require-hashes" in command and "uv.txt" in command[-1]:
        Path(command[0]).with_name(Path(run.UV).name).touch()


@pytest.fixture
def steps(run, monkeypatch):
    """Write down the set-up's steps instead of running them, and what is started in the end."""
    taken = []

    def call(command):
        pretend_to(run, command)
        taken.append(command)
        return 0

    monkeypatch.setattr(run, "call", call)
    monkeypatch.setattr(run, "become", lambda command: taken.append(command) or 0)
    return taken


def pythons(run, monkeypatch, **found):
    """Let the search for interpreters find these and no others; `own` is the one that runs run.py."""
    table = {name.replace("_", "."): description for name, description in found.items()}
    if "own" in table:
        table[sys.executable] = table.pop("own")
    monkeypatch.setattr(run, "probe", lambda command: table.get(" ".join(command)))


def kinds(steps):
    """Name each step by what it does."""
    names = {"-m venv": "venv", "pip sync": "sync", "--editable": "kit", "font_manager": "fonts"}
    words = [" ".join(command) for command in steps]
    return [next((kind for word, kind in names.items() if word in text), "uv") for text in words]


# --- Any Python can read it


def test_it_uses_no_syntax_newer_than_3_4():
    tree = ast.parse((ROOT / "run.py").read_text(encoding="utf-8"))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef, ast.Await, ast.Match)
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, newer)] == []
    displays = [node for node in ast.walk(tree) if isinstance(node, ast.List | ast.Tuple | ast.Set)]
    assert [node.lineno for node in displays if any(isinstance(item, ast.Starred) for item in node.elts)] == []


OTHERS = [path for path in sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python"))) if "3.1" not in path]


@pytest.mark.parametrize("python", OTHERS or [None])
def test_old_pythons_get_a_sentence(python):
    if python is None:
        pytest.skip("no older Python in ~/.pyenv/versions")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, str(ROOT / "run.py"), "help"], env=clean, capture_output=True, text=True)
    assert done.stderr == ""
    assert "3.11, 3.12 or 3.13" in done.stdout
    assert done.returncode == (1 if "/2." in python else 0)


# --- Which Python


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"bits": 32}, "platform", "32-bit"),
        ({"musl": True}, "platform", "musl"),
        ({"system": "Darwin"}, "platform", "Darwin on x86_64"),
        ({"system": "Windows", "machine": "ARM64"}, "platform", "Windows on ARM64"),
        ({"machine": "riscv64"}, "platform", "riscv64"),
        ({"implementation": "PyPy"}, "version", "CPython"),
        ({"version": (3, 13, 0), "free_threaded": True}, "version", "CPython"),
        ({"version": (3, 10, 13)}, "version", "3.10.13"),
        ({"version": (3, 14, 0)}, "version", "3.14.0"),
        ({"venv": False}, "venv", "ensurepip"),
    ],
)
def test_what_stands_in_the_way(run, change, kind, words):
    found_kind, sentence = run.obstacle(GOOD | change)
    assert found_kind == kind
    assert words in sentence


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"version": (3, 11, 0)},
        {"version": (3, 13, 9)},
        {"machine": "aarch64"},
        {"system": "Darwin", "machine": "arm64"},
        {"system": "Windows", "machine": "AMD64"},
    ],
)
def test_what_fits(run, change):
    assert run.obstacle(GOOD | change) is None


def test_its_versions_are_those_of_the_package(run):
    import tomllib

    from packaging.specifiers import SpecifierSet

    fits = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"])
    assert {(3, minor) for minor in range(6, 20) if f"3.{minor}" in fits} == set(run.VERSIONS)


def test_the_real_probe_describes_this_python(run):
    found = run.probe([sys.executable])
    assert set(found) == set(GOOD)
    assert found["version"] == sys.version_info[:3]
    assert found["executable"] == sys._base_executable


def test_a_shim_that_does_not_run_is_passed_over(run, tmp_path, monkeypatch):
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    assert run.probe([str(shim)]) is None
    assert run.probe([str(tmp_path / "nowhere")]) is None


def test_its_own_python_comes_first_then_the_newest(run, monkeypatch):
    newest = GOOD | {"executable": "/opt/python3.13", "version": (3, 13, 0)}
    pythons(run, monkeypatch, own=GOOD, python3_13=newest)
    assert run.find_python() == GOOD["executable"]
    pythons(run, monkeypatch, own=OLD, python3_13=newest, python3_12=GOOD)
    assert run.find_python() == "/opt/python3.13"
    pythons(run, monkeypatch, own=OLD | {"bits": 32}, python3_12=GOOD)
    assert run.find_python() == GOOD["executable"]


def test_windows_asks_its_launcher(run, monkeypatch):
    monkeypatch.setattr(run.os, "name", "nt")
    assert [command for command in run.candidates() if command[0] == "py"] == [
        ["py", "-3.13"],
        ["py", "-3.12"],
        ["py", "-3.11"],
    ]


def test_versions_that_pyenv_keeps_hidden_are_found(run, tmp_path, monkeypatch):
    python = tmp_path / "versions" / "3.12.7" / "bin" / "python3.12"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert [str(python)] in list(run.candidates())


def refusal(run, function, *arguments):
    with pytest.raises(run.Refusal) as caught:
        function(*arguments)
    return str(caught.value)


def test_platforms_without_tensorflow_are_sent_to_the_browser(run, monkeypatch):
    pythons(run, monkeypatch, own=GOOD | {"system": "Darwin"}, python3_13=OLD)
    run.write(run.PROJECT, '[project.urls]\nRepository = "https://github.com/some/kit"\n[tool.x]\ntag = "v0.1.0"\n')
    message = refusal(run, run.find_python)
    assert "Darwin on x86_64" in message
    assert "https://colab.research.google.com/github/some/kit/blob/v0.1.0/notebooks/00_start_here.ipynb" in message
    assert "https://mybinder.org/v2/gh/some/kit/v0.1.0?urlpath=lab" in message


def test_a_course_that_is_not_published_sends_nobody_anywhere(run, monkeypatch):
    pythons(run, monkeypatch, own=GOOD | {"system": "Darwin"}, python3_13=OLD)
    run.write(run.PROJECT, "[project.urls]\n")
    message = refusal(run, run.find_python)
    assert "Once this course is published" in message
    assert "colab.research" not in message and "mybinder" not in message


def test_a_missing_venv_names_the_package(run, monkeypatch):
    pythons(run, monkeypatch, own=OLD, python3_12=GOOD | {"venv": False})
    assert "sudo apt install python3.12-venv" in refusal(run, run.find_python)


def test_without_a_terminal_nothing_is_offered(run, monkeypatch):
    pythons(run, monkeypatch, own=OLD)
    monkeypatch.setattr("builtins.input", lambda prompt: pytest.fail("asked without a terminal"))
    message = refusal(run, run.find_python)
    assert "this is Python 3.9.2" in message
    assert "https://www.python.org/downloads/" in message


Terminal = namedtuple("Terminal", ["isatty"], defaults=[lambda: True])


@pytest.mark.parametrize("answer", ["", "n", "what?"])
def test_a_no_is_a_no(run, monkeypatch, steps, answer):
    pythons(run, monkeypatch, own=OLD)
    monkeypatch.setattr(run.sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    assert "https://www.python.org/downloads/" in refusal(run, run.find_python)
    assert steps == []


def test_a_yes_fetches_a_python_into_the_project(run, monkeypatch, steps, tmp_path):
    pythons(run, monkeypatch, own=OLD)
    monkeypatch.setattr(run.sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda prompt: " Yes ")
    fetched = Path(run.UV_PYTHONS, "cpython-3.12.12", "bin", "python3.12")
    fetched.parent.mkdir(parents=True)
    fetched.touch()
    assert run.find_python() == str(fetched)
    venv, pip, uv = steps
    assert venv[0] == OLD["executable"]
    assert "--require-hashes" in pip
    assert uv[1:] == ["python", "install", "--install-dir", run.UV_PYTHONS, "--no-bin", "--no-registry", "3.12"]


def test_uv_that_cannot_fetch_leaves_the_cure(run, monkeypatch, steps):
    message = refusal(run, run.fetch_python, "/usr/bin/python3", "Install 3.12.")
    assert message == "uv could not fetch a Python.\nInstall 3.12."


# --- Before anything is made


def test_too_little_disk_is_said_before_anything_is_made(run, monkeypatch, steps):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(run.shutil, "disk_usage", lambda path: usage(free=1.2e9))
    message = refusal(run, run.ready)
    assert "needs 3.0 GB and 1.2 GB are free" in message
    assert "Colab" in message
    assert steps == []


def test_somebody_elses_environment_is_left_alone(run, steps, tmp_path):
    theirs = tmp_path / ".venv" / "pyvenv.cfg"
    theirs.parent.mkdir()
    theirs.write_text("theirs")
    assert "did not make" in refusal(run, run.ready)
    run.clean([])
    assert theirs.read_text() == "theirs"
    assert steps == []


PLACES = {
    "file": lambda path: path.touch(),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link to a folder": lambda path: path.symlink_to(ROOT / "tests"),
}


@POSIX
@pytest.mark.parametrize("name", [".venv", ".uv"])
@pytest.mark.parametrize("what", PLACES)
def test_what_stands_in_the_place_of_a_folder_is_named_and_left_alone(run, steps, tmp_path, name, what, capsys):
    PLACES[what](tmp_path / name)
    if (name, what) != (".uv", "link to a folder"):  # a cache may be elsewhere
        kind = "link" if "link" in what else "file"
        assert f"There is a {kind} {name} here" in refusal(run, run.ready)
        assert run.main(["doctor"]) == 1
        assert f"{name} here that run.py did not make" in capsys.readouterr().out
    assert run.main(["clean"]) == 0
    assert os.path.lexists(tmp_path / name)
    assert (ROOT / "tests" / "unit").is_dir()
    assert steps == []


def test_a_folder_left_before_its_marker_was_whole_is_ours(run, steps):
    os.mkdir(run.VENV)
    Path(run.MARKER + ".part").touch()
    run.ready()
    assert run.in_step()
    os.remove(run.STAMP)
    Path(run.MARKER).write_text("")
    run.ready()
    assert run.in_step()


def test_a_path_in_which_no_environment_can_be_made_is_named(run, steps, monkeypatch):
    monkeypatch.setattr(run, "ROOT", run.ROOT + os.pathsep + "b")
    assert f"name has a {os.pathsep!r}: rename {run.ROOT}" in refusal(run, run.make_venv)
    assert steps == []


def test_a_disk_that_fills_meanwhile_is_not_taken_for_the_network(run, monkeypatch, steps):
    usage, left = namedtuple("usage", "free"), [5e9]
    monkeypatch.setattr(run.shutil, "disk_usage", lambda path: usage(free=left[0]))
    untroubled = run.call

    def fill_up(command):
        left[0] = 1e8 if "sync" in command else left[0]
        return 1 if "sync" in command else untroubled(command)

    monkeypatch.setattr(run, "call", fill_up)
    message = refusal(run, run.ready)
    assert "The disk is full: 0.1 GB are left" in message
    assert "network" not in message
    assert kinds(steps) == ["venv", "uv"]  # pip is not tried on a full disk
    left[0] = 5e9
    monkeypatch.setattr(run, "call", lambda command: 1)
    assert "network" in refusal(run, run.step, "trying", ["anything"])


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk or your share of it is full"),
        (errno.EDQUOT, "disk or your share of it is full"),
        (errno.EACCES, "You may not change /somewhere"),
        (errno.EROFS, "You may not change /somewhere"),
        (errno.EISDIR, "/somewhere"),
    ],
)
def test_what_the_system_refuses_has_a_cause_and_a_cure(run, monkeypatch, capsys, number, words):
    def refuse():
        raise OSError(number, os.strerror(number), "/somewhere")

    monkeypatch.setattr(run, "in_step", refuse)
    assert run.main(["test"]) == 1
    assert words in capsys.readouterr().out


@POSIX
def test_programs_that_may_not_be_started_are_no_question_of_ownership(run, steps, monkeypatch, capsys):
    pretended, real = run.call, load(run.__file__).call
    monkeypatch.setattr(run, "call", lambda command: (real if command[0] == run.UV else pretended)(command))
    assert run.main(["test"]) == 1  # the uv that was pretended is an empty file that nobody may execute
    output = capsys.readouterr().out
    assert "cannot be started: is this disk mounted noexec?" in output
    assert "chown" not in output


UNPRIVILEGED = """
import os, pwd, sys, tempfile
sys.path.insert(0, {root!r})
import run
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
{code}
"""


@pytest.fixture
def public():
    """Return a project folder that others can reach."""
    with tempfile.TemporaryDirectory(prefix="tl-helpers-public-") as folder:
        os.chmod(folder, 0o755)
        fill(folder)
        yield Path(folder)
        os.chmod(folder, 0o755)


def unprivileged(folder, code, **environment):
    """Run code beside run.py as a user who may not write everywhere, and return the process."""
    program = UNPRIVILEGED.format(root=str(folder), code=code)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    options = {"capture_output": True, "text": True, "cwd": folder, "env": variables}
    return subprocess.run([sys.executable, "-B", "-c", program], **options)


@POSIX
@pytest.mark.parametrize("verb", ["test", "lab", "clean", "lock"])
def test_a_folder_that_one_may_not_change_is_named(public, verb):
    public.chmod(0o555)
    done = unprivileged(public, f"sys.exit(run.main([{verb!r}]))")
    assert f"You may not change {public.resolve()} (it belongs to " in done.stdout
    assert "copy the whole folder" in done.stdout
    assert done.stderr == "" and done.returncode == 1
    assert sorted(os.listdir(public)) == ["pyproject.toml", "requirements.lock.txt", "run.py"]


@POSIX
@pytest.mark.parametrize("name", [".venv", ".uv", "transfer_learning_kit.egg-info"])
def test_what_was_made_with_sudo_is_named(public, name):
    public.chmod(0o777)
    (public / name).mkdir(mode=0o555)
    done = unprivileged(public, "sys.exit(run.main(['test']))")
    assert f"You may not change {public.resolve() / name}" in done.stdout
    assert "sudo chown" in done.stdout
    assert done.stderr == "" and done.returncode == 1


@POSIX
def test_a_complete_environment_needs_no_permission(public):
    public.chmod(0o555)
    code = "run.in_step = lambda: True\nrun.become = lambda command: print(command[-1])\nrun.main(['test', 'word'])"
    done = unprivileged(public, code)
    assert done.stdout.splitlines()[-1] == "word"
    assert done.stderr == ""


@POSIX
def test_a_run_py_that_one_may_only_read_can_still_be_locked(public):
    public.chmod(0o777)
    (public / "run.py").chmod(0o444)
    code = "with run.only_launcher():\n    print(run.try_to_lock(open('run.py')))"
    assert unprivileged(public, code).stdout == "False\n"


@POSIX
def test_a_home_that_cannot_be_written_to_is_replaced_for_the_time(public):
    (public / "tmp").mkdir()
    (public / "tmp").chmod(0o777)
    public.chmod(0o555)
    code = "os.execve = lambda path, command, environment: print(os.access(environment['HOME'], os.W_OK)) or sys.exit()"
    done = unprivileged(public, code + "\nrun.become(['any'])", HOME=str(public), TMPDIR=str(public / "tmp"))
    assert f"Your home {public} cannot be written to" in done.stdout
    assert done.stdout.splitlines()[-1] == "True"


# --- Names and locales

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
MADE_TWICE = """
import subprocess, sys
sys.path.insert(0, sys.argv[1])
import run
def call(command):
    steps.append(command)
    if "venv" in command:
        return subprocess.call(command + ["--without-pip"], env=run.network_environment())
    if "uv.txt" in command[-1]:
        open(run.UV, "w").close()
    return 0
steps, run.call, run.become = [], call, lambda command: 0
first = run.main(["test"]), len(steps)
print(first, (run.main(["test"]), len(steps)), run.__file__)
"""


def made_twice(folder, **environment):
    """Make the environment of a folder in a process of its own, twice, and return the last line that it printed."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | environment
    command = [sys.executable, "-B", "-c", MADE_TWICE, os.fsencode(folder)]
    done = subprocess.run(command, env=variables, capture_output=True)
    assert done.stderr == b""
    return done.stdout.splitlines()


@POSIX
def test_a_folder_has_the_same_name_in_every_locale(tmp_path):
    folder = tmp_path / "größe"
    folder.mkdir()
    fill(folder)
    assert made_twice(folder, **ASCII)[-1].startswith(b"(0, 5) (0, 5)")
    assert made_twice(folder, LC_ALL="C.UTF-8")[-1].startswith(b"(0, 0) (0, 0)")


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere refuse such names")
@pytest.mark.parametrize("locale", [ASCII, {"LC_ALL": "C.UTF-8"}], ids=["ascii", "utf-8"])
def test_a_folder_whose_name_is_not_utf_8_is_refused_with_the_cure(tmp_path, locale):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/latin\xe9")
    os.mkdir(folder)
    fill(folder)
    lines = made_twice(folder, **locale)
    assert sum(b"bytes that are not UTF-8: rename" in line for line in lines) == 2
    assert lines[-1].startswith(b"(1, 0) (1, 0)")
    assert not os.path.exists(os.path.join(folder, ".venv"))


def test_a_name_that_the_terminal_cannot_show_is_escaped(run, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    run.say("in größe\udce9")
    assert written.getvalue().splitlines() == [b"in gr\\xf6\\xdfe\\udce9"]


@POSIX
def test_a_linked_checkout_is_the_same_checkout(run, tmp_path, tmp_path_factory):
    link = tmp_path_factory.mktemp("elsewhere") / "link"
    link.symlink_to(tmp_path)
    assert load(link / "run.py").ROOT == run.ROOT


def test_a_lock_without_uv_is_said_to_be_damaged(run, tmp_path, steps):
    (tmp_path / "requirements.lock.txt").write_text("numpy==2.4.6\n")
    assert "git checkout requirements.lock.txt" in refusal(run, run.ready)


# --- Made once, brought up to date, made anew


def test_the_environment_is_made_in_order_and_only_once(run, steps, tmp_path):
    assert run.main(["test", "tests/unit", "-k", "street"]) == 0
    *made, started = steps
    assert kinds(made) == ["venv", "uv", "sync", "kit", "fonts"]
    assert "--require-hashes" in made[1] and "--require-hashes" in made[2]
    assert "--no-deps" in made[3] and "--no-build-isolation" in made[3]
    assert started[:3] == [run.PYTHON, "-m", "pytest"]
    assert started[-3:] == ["tests/unit", "-k", "street"]  # after the kit's own words, so that they win
    steps.clear()
    assert run.main(["lab", "--no-browser"]) == 0
    assert len(steps) == 1
    assert steps[0][:3] == [run.PYTHON, "-m", "jupyterlab"]
    assert steps[0][-1] == "--no-browser"


def test_uv_is_pinned_by_the_lock_with_hashes(run, steps):
    run.ready()
    lines = Path(run.VENV, "uv.txt").read_text().splitlines()
    assert lines[0].startswith("uv==")
    assert all(line.strip().startswith("--hash=sha256:") for line in lines[1:]) and len(lines) > 5


@pytest.mark.parametrize("name", ["requirements.lock.txt", "pyproject.toml"])
def test_a_changed_lock_is_synced_in_place(run, steps, tmp_path, name):
    run.ready()
    kept = Path(run.VENV, "kept")
    kept.touch()
    with open(tmp_path / name, "a") as text:
        text.write("\n# changed\n")
    steps.clear()
    assert not run.in_step()
    run.ready()
    assert kinds(steps) == ["uv", "sync", "kit", "fonts"]
    assert kept.exists()
    assert run.in_step()


def rename_the_folder(run, tmp_path):
    Path(run.MARKER).write_text("/somewhere/else")
    Path(run.STAMP).write_text("of the other folder")


def lose_the_base_python(run, tmp_path):
    os.remove(run.PYTHON)
    os.symlink(tmp_path / "uninstalled", run.PYTHON)


def let_another_python_take_its_place(run, tmp_path):
    Path(run.VENV, "pyvenv.cfg").write_text("version = 3.10.4\n")
    Path(run.STAMP).write_text(run.wanted())


def interrupt_the_install(run, tmp_path):
    os.remove(run.STAMP)


@POSIX
@pytest.mark.parametrize(
    "damage", [rename_the_folder, lose_the_base_python, let_another_python_take_its_place, interrupt_the_install]
)
def test_what_cannot_be_trusted_is_made_anew(run, steps, tmp_path, damage):
    run.ready()
    left = Path(run.VENV, "left")
    left.touch()
    damage(run, tmp_path)
    steps.clear()
    run.ready()
    assert kinds(steps)[0] == "venv"
    assert not left.exists()
    assert run.in_step()


@pytest.mark.parametrize("at", range(5))
def test_wherever_it_stops_the_next_run_completes_it(run, monkeypatch, steps, at):
    untroubled = run.call
    monkeypatch.setattr(run, "call", lambda command: 1 if len(steps) == at else untroubled(command))
    if at == 2:  # uv fails, pip takes over: fail that, too
        monkeypatch.setattr(run, "call", lambda command: 1 if len(steps) >= at else untroubled(command))
    message = refusal(run, run.ready)
    assert "run the same command again" in message
    assert not run.in_step()
    monkeypatch.setattr(run, "call", untroubled)
    steps.clear()
    run.ready()
    assert kinds(steps)[0] == "venv"
    assert run.in_step()


def test_pip_takes_over_where_uv_does_not_get_through(run, monkeypatch, steps):
    untroubled = run.call
    monkeypatch.setattr(run, "call", lambda command: 1 if "sync" in command else untroubled(command))
    run.ready()
    assert steps[2][1:4] == ["-m", "pip", "install"]
    assert steps[2][-3:] == ["--require-hashes", "-r", run.LOCK]
    assert run.in_step()


def test_an_interrupted_removal_is_finished(run, steps):
    Path(run.DISCARDED, "lib").mkdir(parents=True)
    run.ready()
    assert not os.path.exists(run.DISCARDED)


# --- Ctrl-C, and two at once

# Whoever runs the tests in the background has SIGINT ignored, and children inherit that: the launcher's user has not.
INTERRUPTED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {root!r})
import run
def call(command):
    print("step", flush=True)
    return real([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"])
real, run.call = run.call, call
sys.exit(run.main(["test"]))
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@POSIX
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_step_and_leaves_no_traceback(run, tmp_path, steps, how):
    program = INTERRUPTED.format(root=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", program], stdout=-1, stderr=-1, text=True, cwd=tmp_path)
    assert "Making .venv" in process.stdout.readline()
    assert process.stdout.readline() == "step\n"
    step = int(process.stdout.readline())
    process.send_signal(how)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on from here" in output
    assert errors == ""
    assert not is_alive(step)
    run.ready()
    assert run.in_step()


@POSIX
def test_a_second_launcher_waits_for_the_first_and_then_has_nothing_to_do(run, tmp_path, steps, capsys):
    with open(tmp_path / "run.py", "a") as first:
        assert run.try_to_lock(first)
        second = threading.Thread(target=run.ready)
        second.start()
        second.join(timeout=1)
        assert second.is_alive()
        run.make_environment()
        taken = len(steps)
    second.join(timeout=30)
    assert not second.is_alive()
    assert len(steps) == taken
    assert "Another run.py is setting up" in capsys.readouterr().out


@POSIX
def test_the_program_takes_over_with_its_exit_code(run, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import run; run.become([sys.executable, '-c', 'exit(7)'])"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 7


# --- Proxies and certificates


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_one_certificate_file_serves_pip_and_uv(run, monkeypatch, tmp_path, name):
    for other in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(other, raising=False)
    bundle = tmp_path / "campus.pem"
    bundle.touch()
    monkeypatch.setenv(name, str(bundle))
    environment = run.network_environment()
    assert environment["SSL_CERT_FILE"] == environment["PIP_CERT"] == str(bundle)


def test_proxies_and_the_users_own_choices_are_passed_on(run, monkeypatch):
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("UV_CACHE_DIR", "/scratch/uv")
    monkeypatch.setenv("UV_NATIVE_TLS", "0")
    environment = run.network_environment()
    assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert environment["UV_CACHE_DIR"] == "/scratch/uv"
    assert environment["UV_NATIVE_TLS"] == "0" and "UV_SYSTEM_CERTS" not in environment
    monkeypatch.delenv("UV_CACHE_DIR")
    monkeypatch.delenv("UV_NATIVE_TLS")
    environment = run.network_environment()
    assert environment["UV_CACHE_DIR"] == os.path.join(run.UV_HOME, "cache")
    assert environment["UV_SYSTEM_CERTS"] == "1"


NAMED = ["PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH", "PIP_TARGET", "PIP_PREFIX", "UV_OVERRIDE", "UV_REQUIRE_HASHES"]
KEPT = ["PIP_INDEX_URL", "PIP_NO_INDEX", "PIP_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_OFFLINE", "HTTPS_PROXY", "LANG"]


def test_what_cannot_be_meant_is_not_passed_on_and_that_is_said(run, monkeypatch, steps, capsys):
    for name in NAMED + KEPT:
        monkeypatch.setenv(name, "1")
    for environment in (run.own_environment(), run.program_environment(), run.network_environment()):
        assert [name for name in NAMED if name in environment] == []
        assert [name for name in KEPT if environment[name] != "1"] == []
    assert run.main(["test"]) == 0
    said = capsys.readouterr().out
    assert "Not passed on, so that .venv alone counts: " + ", ".join(NAMED) + "." in said
    for name in NAMED:
        monkeypatch.delenv(name)
    assert run.main(["test"]) == 0
    assert "Not passed on" not in capsys.readouterr().out


def test_a_rubbish_pythonhome_and_a_foreign_module_reach_nobody(run, monkeypatch, tmp_path):
    (tmp_path / "platform.py").write_text("raise SystemExit('foreign')")
    monkeypatch.setenv("PYTHONHOME", "/rubbish")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run.probe([sys.executable])["version"] == sys.version_info[:3]
    assert run.call([sys.executable, "-P", "-c", "import platform"]) == 0


def test_what_steers_pip_and_uv_is_named_when_they_fail(run, monkeypatch, steps):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(run, "call", lambda command: 1)
    assert "have a say in it: " in refusal(run, run.step, "trying", ["anything"])
    assert "PIP_NO_INDEX" in refusal(run, run.step, "trying", ["anything"])


def test_a_pip_that_installs_elsewhere_is_found_out(run, monkeypatch, steps):
    os.mkdir(run.VENV)
    monkeypatch.setattr(run, "call", lambda command: 0)
    assert "pip put uv elsewhere" in refusal(run, run.install_uv, str(Path(run.VENV, "bin", "python")))


def test_modules_are_compiled_when_installed_unless_the_user_says_otherwise(run, monkeypatch, steps, tmp_path):
    monkeypatch.delenv("UV_COMPILE_BYTECODE", raising=False)
    assert run.network_environment()["UV_COMPILE_BYTECODE"] == "1"
    monkeypatch.setenv("UV_COMPILE_BYTECODE", "0")
    assert run.network_environment()["UV_COMPILE_BYTECODE"] == "0"
    (tmp_path / "tl_helpers").mkdir()
    (tmp_path / "tl_helpers" / "module.py").write_text("")
    run.ready()
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    assert subprocess.run([sys.executable, *steps[-1][1:]], cwd=tmp_path).returncode == 0
    assert len(glob.glob(str(tmp_path / "tl_helpers" / "__pycache__" / "module.*.pyc"))) == 1


# --- Root and containers


@pytest.mark.parametrize(
    ("user", "container", "arguments", "words", "said"),
    [
        (1000, False, [], [], ""),
        (1000, True, [], [], "run.py lab --ip=0.0.0.0\n"),
        (1000, True, ["--ip=0.0.0.0"], [], ""),
        (0, True, [], ["--ip=localhost", "--allow-root"], "run.py lab --ip=0.0.0.0 --allow-root\n"),
        (0, True, ["--ip=127.0.0.1"], ["--ip=localhost", "--allow-root"], "publish port 8888"),
        (0, True, ["--allow-root"], [], "publish port 8888"),
        (0, True, ["--ServerApp.ip=0.0.0.0"], [], "add --allow-root to this command"),
        (0, True, ["--ip", "*", "--allow-root"], [], ""),
        (0, False, [], [], "add --allow-root to this command"),
        (0, False, ["--ServerApp.allow_root=True"], [], ""),
    ],
)
def test_root_and_containers(run, monkeypatch, steps, capsys, user, container, arguments, words, said):
    run.ready()
    monkeypatch.setattr(run.os, "geteuid", lambda: user, raising=False)
    monkeypatch.setattr(run, "in_container", lambda: container)
    capsys.readouterr()
    assert run.main(["lab", *arguments]) == 0
    assert steps[-1] == [run.PYTHON, *run.PROGRAMS["lab"], *words, *arguments]
    output = capsys.readouterr().out
    assert said in output and (said or output == "")


def test_jupyterlab_does_not_ask_about_news(run, monkeypatch, steps):
    run.ready()
    assert run.main(["lab"]) == 0
    switched_off = Path(run.VENV, "etc", "jupyter", "labconfig", "page_config.json")
    news = "@jupyterlab/apputils-extension:announcements"
    assert json.loads(switched_off.read_text(encoding="utf-8")) == {"disabledExtensions": {news: True}}
    monkeypatch.setattr(run, "write", lambda *_: (_ for _ in ()).throw(PermissionError("read-only")))
    assert run.main(["lab"]) == 0 and steps[-1] == steps[-2]


def test_how_a_container_is_known(run, monkeypatch):
    monkeypatch.delenv("container", raising=False)
    there = []
    monkeypatch.setattr(run.os.path, "exists", lambda path: path in there)
    assert not run.in_container()
    there.append("/.dockerenv")
    assert run.in_container()
    there[:] = ["/run/.containerenv"]
    assert run.in_container()
    there.clear()
    monkeypatch.setenv("container", "lxc")
    assert run.in_container()


# --- The other verbs


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["help"], 0), (["--help"], 0), (["lba"], 2)])
def test_help_names_every_verb(run, capsys, arguments, code):
    assert run.main(arguments) == code
    text = capsys.readouterr().out
    for verb in [*run.PROGRAMS, "doctor", "lock", "clean"]:
        assert f"python run.py {verb} " in text


def test_a_refusal_is_a_message_and_an_exit_code(run, monkeypatch, capsys):
    pythons(run, monkeypatch, own=OLD)
    assert run.main(["lab"]) == 1
    assert "The kit needs Python 3.11, 3.12 or 3.13" in capsys.readouterr().out


def test_clean_removes_what_was_made_and_nothing_else(run, steps, tmp_path, capsys):
    run.ready()
    made = [".uv/cache", ".pytest_cache", "tl_helpers/__pycache__", "transfer_learning_kit.egg-info"]
    kept = ["notebooks", "tl_helpers/mine", ".git"]
    for name in made + kept:
        (tmp_path / name).mkdir(parents=True)
    assert run.clean([]) == 0
    assert [name for name in [".venv", *made] if (tmp_path / name).exists()] == []
    assert [name for name in kept if not (tmp_path / name).exists()] == []
    said = capsys.readouterr().out
    assert all(f"removing {os.path.normpath(name)}" in said for name in [".venv", ".uv", *made[1:]])
    assert (tmp_path / "run.py").read_bytes() == (ROOT / "run.py").read_bytes()


def test_an_interrupted_clean_leaves_plain_rubbish(run, monkeypatch, tmp_path):
    (tmp_path / ".uv" / "cache").mkdir(parents=True)
    whole = shutil.rmtree

    def interrupt(path, **options):
        if os.path.exists(path):
            raise KeyboardInterrupt

    monkeypatch.setattr(run.shutil, "rmtree", interrupt)
    assert run.main(["clean"]) == 130
    assert not os.path.exists(run.UV_HOME) and os.path.exists(run.DISCARDED)
    monkeypatch.setattr(run.shutil, "rmtree", whole)
    assert run.main(["clean"]) == 0
    assert not os.path.exists(run.DISCARDED)


def test_clean_says_what_it_could_not_remove(run, monkeypatch, tmp_path, capsys):
    (tmp_path / ".pytest_cache").mkdir()
    monkeypatch.setattr(run.shutil, "rmtree", lambda path, **options: None)
    assert run.main(["clean"]) == 1
    assert f"You may not change {tmp_path / '.pytest_cache'}" in capsys.readouterr().out


def test_lock_compiles_everything_for_every_platform_without_addresses(run, steps):
    assert run.main(["lock", "--upgrade"]) == 0
    command = steps[-1]
    assert command[1:4] == ["pip", "compile", "pyproject.toml"]
    assert {"--universal", "--generate-hashes", "--no-header", "--no-annotate", "--all-extras"} < set(command)
    assert not any("index" in word for word in command)
    assert command[-1] == "--upgrade"


def test_doctor_says_what_is_missing_and_where_it_stands(run, steps, capsys):
    assert run.main(["doctor"]) == 1
    assert "FAIL  environment in step" in capsys.readouterr().out
    assert steps == []
    run.ready()
    steps.clear()
    assert run.main(["doctor"]) == 0
    assert "OK    environment in step" in capsys.readouterr().out
    assert "check_machine" in steps[0][-1]


def test_doctor_fails_with_the_data(run, steps, monkeypatch):
    run.ready()
    monkeypatch.setattr(run, "call", lambda command: 1)
    assert run.main(["doctor"]) == 1


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        ({"version": (3, 6, 15)}, "Install 3.12 from https://www.python.org/downloads/"),
        ({"version": (3, 10, 13)}, "Install 3.12 from https://www.python.org/downloads/"),
        ({"bits": 32}, "TensorFlow has no package for this machine"),
        ({"musl": True}, "TensorFlow has no package for this machine"),
        ({"venv": False}, "sudo apt install python3.12-venv"),
        (None, "Install 3.12 from https://www.python.org/downloads/"),
    ],
)
def test_doctor_names_the_cure_where_no_python_fits(run, monkeypatch, capsys, change, cure):
    pythons(run, monkeypatch, **({} if change is None else {"own": GOOD | change}))
    monkeypatch.setattr(run.sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda prompt: pytest.fail("doctor asked"))
    assert run.main(["doctor"]) == 1
    output = capsys.readouterr().out
    assert "FAIL  Python" in output
    assert cure in output


def test_doctor_looks_at_the_python_that_will_be_used(run, monkeypatch, capsys):
    monkeypatch.setattr(run, "probe", lambda command: OLD if command == [sys.executable] else GOOD)
    assert run.main(["doctor"]) == 1
    assert "OK    Python 3.12.1" in capsys.readouterr().out


def test_doctor_says_what_to_do_about_the_disk(run, monkeypatch, capsys):
    monkeypatch.setattr(run.shutil, "disk_usage", lambda path: namedtuple("usage", "free")(free=1e9))
    assert run.main(["doctor"]) == 1
    assert "FAIL  disk: 1.0 GB free, 3.0 GB needed; free some" in capsys.readouterr().out
