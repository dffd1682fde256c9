"""Whatever happens to a log, its rows are right or an error says where they are not."""

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.unit.grids import AXES, Inline, posix, run_program, without_times
from tl_helpers.grid import log as run_log
from tl_helpers.grid.run import GridError, run_grid


def study(arm, budget, seed):
    return {"score": 1000 * budget + 90 * (arm == "transfer") + seed / 7, "updates": 10, "rate": 0.25}


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch):
    """Tests of what the log holds need not wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.jsonl"


@pytest.fixture
def client():
    return Inline()


@pytest.fixture
def whole(path):
    """The frame of a finished log at `path`."""
    return without_times(run_grid(study, *AXES, path=path, client=Inline()))


def again(path, client=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return without_times(run_grid(study, *AXES, path=path, client=client or Inline()))


def as_format_1(content):
    """Write a log as earlier versions did: without checksums."""
    records = [json.loads(line) for line in content.splitlines()]
    for record in records:
        del record["sha256"]
    records[0]["format"] = 1
    return "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records).encode()


# ---------------------------------------------------------------- damage


def assert_same_runs(a, b):
    pd.testing.assert_frame_equal(without_times(a), without_times(b))


def cut_log(path, client, keep):
    """Write a whole log, cut it to `keep` bytes, and return how many finished runs that leaves, and the whole frame."""
    whole = run_grid(study, *AXES, path=path, client=client)
    content = path.read_bytes()
    runs = {line for line in content.splitlines() if b'"rows"' in line}
    path.write_bytes(content[:keep])
    return sum(line in runs for line in content[:keep].splitlines()), whole


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1))
def test_a_log_torn_anywhere_loses_the_torn_line_only(tmp_path, where):
    path = tmp_path / "torn.jsonl"
    path.unlink(missing_ok=True)
    run_grid(study, *AXES, path=path, client=Inline())
    client = Inline()
    left, whole = cut_log(path, client, int(where * path.stat().st_size))
    assert not client.runs
    assert_same_runs(run_grid(study, *AXES, path=path, client=client), whole)
    assert len(client.runs) == 8 - left
    assert_same_runs(run_grid(study, *AXES, path=path, client=Inline()), whole)
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize("tail", [b"\0" * 100, b"\xff\xfe\n", b'{"spec":\n[1]\n', b'{"spec": "x"'])
def test_a_broken_end_is_dropped(client, path, tail):
    whole = run_grid(study, *AXES, path=path, client=client)
    with open(path, "ab") as log:
        log.write(tail)
    assert_same_runs(run_grid(study, *AXES, path=path, client=client), whole)
    assert len(client.runs) == 8
    assert path.read_bytes().endswith(b"}\n") and tail not in path.read_bytes()


def test_a_damaged_line_in_the_middle_is_named(client, path):
    run_grid(study, *AXES, path=path, client=client)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b":", b";", 1)
    path.write_bytes(b"".join(lines))
    with pytest.raises(ValueError, match=r"line 5 is damaged.*Delete that line"):
        run_grid(study, *AXES, path=path, client=client)
    path.write_bytes(b"".join(lines[:4] + lines[5:]))
    assert len(run_grid(study, *AXES, path=path, client=client)) == 8
    assert len(client.runs) == 9


@pytest.mark.parametrize("content", ["arm,score\na,1\n", "{}\n", "precious", '{"tl_helpers":"other"}\n'])
def test_a_file_of_another_kind_is_not_touched(path, content):
    path.write_text(content)
    with pytest.raises(ValueError, match="is not a log of run_grid"):
        run_grid(study, *AXES, path=path, client=Inline())
    assert path.read_text() == content


def test_no_flipped_bit_goes_unnoticed(path, whole):
    content = path.read_bytes()
    chance, outcomes = random.Random(5), {"error": 0, "frame": 0}
    # Anywhere, and at every bit of every line break and of the header's format.
    breaks = [8 * place + bit for place, byte in enumerate(content) if byte == 10 for bit in range(8)]
    header = [8 * content.index(b"2") + bit for bit in range(8)]
    for flip in [*(chance.randrange(8 * len(content)) for _ in range(500)), *breaks, *header]:
        damaged = bytearray(content)
        damaged[flip // 8] ^= 1 << flip % 8
        path.write_bytes(damaged)
        line = content[: flip // 8].count(b"\n") + 1
        try:
            frame = again(path)
        except ValueError as error:
            assert f"line {line} " in str(error), (flip, error)
            assert path.read_bytes() == damaged
            outcomes["error"] += 1
        else:
            pd.testing.assert_frame_equal(frame, whole)
            assert line >= 9  # the last line, or the break that joins it to the one before
            outcomes["frame"] += 1
    assert outcomes["error"] > 300 and outcomes["frame"] > 20


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [{"score": [1]}]},
        {"rows": []},
        {"rows": {"score": 1}},
        {"rows": ["score"]},
        {"run_seconds": "1"},
        {"data": ["street/garments.png"]},
        {"data": {"street/garments.png": 1}},
        {"arm": ["scratch"]},
        {"cpu": None},
        *({missing: ...} for missing in ("rows", "seed", "spec", "run_cpu_seconds", "cpu", "data")),
    ],
    ids=str,
)
def test_a_line_of_other_keys_or_kinds_is_damaged(change, path, whole):
    lines = path.read_bytes().splitlines(keepends=True)
    record = json.loads(lines[4]) | change
    record = {name: value for name, value in record.items() if value is not ... and name != "sha256"}
    lines[4] = run_log._line(record)
    path.write_bytes(b"".join(lines))
    with pytest.raises(ValueError, match=r"line 5 is damaged.*Delete that line"):
        again(path)


def test_the_order_of_lines_and_repeated_lines_do_not_count(path, whole):
    header, *lines = path.read_bytes().splitlines(keepends=True)
    client = Inline()
    for kept in (lines[::-1], [*lines, *lines[3:6]], [lines[1], header, *lines]):
        path.write_bytes(b"".join([header, *kept]))
        pd.testing.assert_frame_equal(again(path, client), whole)
    assert not client.runs


def test_joined_logs_count_as_one(path, whole, tmp_path):
    other = tmp_path / "other.jsonl"
    run_grid(study, *AXES[:2], [1, 2], path=other, client=Inline())
    client = Inline()
    for one, two in ((path, other), (other, path)):
        joined = tmp_path / f"{one.stem}.joined.jsonl"
        joined.write_bytes(one.read_bytes() + two.read_bytes())
        assert len(run_grid(study, *AXES[:2], [0, 1, 2], path=joined, client=client)) == 12
    assert not client.runs


def test_two_results_of_one_run_are_named(path, whole):
    lines = path.read_bytes().splitlines(keepends=True)
    record = json.loads(lines[4])
    record["rows"][0]["score"] += 1
    del record["sha256"]
    path.write_bytes(b"".join([*lines, run_log._line(record)]))
    with pytest.raises(ValueError, match=r"lines 5 and 11 hold different results of one run .*Delete one"):
        again(path)


def test_a_last_line_without_its_break_is_kept(path, whole):
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    client = Inline()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = run_grid(study, *AXES, path=path, client=client)
    pd.testing.assert_frame_equal(without_times(frame), whole)
    assert not client.runs and path.read_bytes() == content
    path.write_bytes(content[: content.index(b"\n")])  # the header alone
    pd.testing.assert_frame_equal(again(path, client), whole)
    assert len(client.runs) == 8 and path.read_bytes().startswith(content[: content.index(b"\n") + 1] + b'{"session"')


def test_a_torn_end_is_said(path, whole):
    path.write_bytes(path.read_bytes()[:-2])
    client = Inline()
    with pytest.warns(UserWarning, match=r"line 10: the end of the log was torn .* is done again") as caught:
        run_grid(study, *AXES, path=path, client=client)
    assert caught[0].filename == __file__
    assert client.runs == [("transfer", 10, 1)]


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content + b"\n \n",
        lambda content: content.replace(b"\n", b"\n\n"),
        lambda content: content.replace(b"\n", b" \n"),
    ],
    ids=["crlf", "byte order mark", "blank end", "blank lines", "blanks"],
)
@pytest.mark.parametrize("older", [False, True])
def test_what_editors_and_git_do_to_a_log_does_no_harm(older, rewrite, path, whole):
    content = path.read_bytes()
    content = rewrite(as_format_1(content) if older else content)
    path.write_bytes(content)
    client = Inline()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pd.testing.assert_frame_equal(without_times(run_grid(study, *AXES, path=path, client=client)), whole)
        assert not client.runs and path.read_bytes() == content
        for _ in range(2):
            assert len(run_grid(study, *AXES[:2], [0, 1, 2], path=path, client=client)) == 12
    assert len(client.runs) == 4 and path.read_bytes().startswith(content)


def test_whole_lines_at_the_end_that_are_not_understood_are_kept_elsewhere(path, whole):
    header, *lines = path.read_bytes().splitlines(keepends=True)
    for number, name in enumerate(("log.damaged.jsonl", "log.damaged-2.jsonl")):
        rest = b"".join(json.dumps(json.loads(line)).encode() + b"\n" for line in lines) * (number + 1)
        path.write_bytes(header + rest)
        client = Inline()
        with pytest.warns(UserWarning, match=rf"damaged end of .*log\.jsonl is kept in .*{name}"):
            run_grid(study, *AXES, path=path, client=client)
        assert len(client.runs) == 8 and path.with_name(name).read_bytes() == rest


# ---------------------------------------------------------------- logs of format 1


def test_a_log_of_format_1_is_read_and_continued_with_checksums(path, whole):
    old = as_format_1(path.read_bytes())
    path.write_bytes(old)
    client = Inline()
    pd.testing.assert_frame_equal(again(path, client), whole)
    assert not client.runs and path.read_bytes() == old
    longer = run_grid(study, *AXES[:2], [0, 1, 2], path=path, client=client)
    assert len(longer) == 12 and len(client.runs) == 4
    content = path.read_bytes()
    assert content.startswith(old) and json.loads(content[len(old) :].splitlines()[0])["format"] == 2
    assert len(run_grid(study, *AXES[:2], [0, 1, 2], path=path, client=client)) == 12 and len(client.runs) == 4
    path.write_bytes(content.replace(b'"score":5000.28', b'"score":5001.28'))
    with pytest.raises(ValueError, match="line 13 is damaged"):
        again(path)


def test_a_log_of_format_1_may_be_joined_to_a_newer_one(path, whole, tmp_path):
    run_grid(study, *AXES[:2], [1, 2], path=tmp_path / "other.jsonl", client=Inline())
    joined = path.read_bytes() + as_format_1((tmp_path / "other.jsonl").read_bytes())
    path.write_bytes(joined)
    client = Inline()
    assert len(run_grid(study, *AXES[:2], [0, 1, 2], path=path, client=client)) == 12
    assert not client.runs and path.read_bytes() == joined


def test_a_line_of_format_1_without_its_keys_is_damaged(path, whole):
    path.write_bytes(as_format_1(path.read_bytes()).replace(b'"rows"', b'"rowt"', 1))
    with pytest.raises(ValueError, match="line 3 is damaged"):
        again(path)


def test_a_format_1_line_counts_in_no_log_with_checksums(path, whole):
    content = path.read_bytes()
    lines = as_format_1(content).splitlines(keepends=True)
    path.write_bytes(content + lines[3] + content.splitlines(keepends=True)[3])
    with pytest.raises(ValueError, match="line 11 is damaged"):
        again(path)


# ---------------------------------------------------------------- a log that others touch while it is written


def cut(path):
    os.truncate(path, 300)


def replace(path):
    shutil.copy(path, path.with_suffix(".copy"))
    os.replace(path.with_suffix(".copy"), path)


def remove_folder(path):
    shutil.rmtree(path.parent)


def append(path):
    with open(path, "ab") as log:
        log.write(b"\n")


@pytest.mark.skipif(os.name != "posix", reason="Windows lets nobody touch an open file")
@pytest.mark.parametrize("harm", [Path.unlink, cut, replace, remove_folder, append], ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("when", [3, 7], ids=["within", "before the last run"])
def test_a_log_that_is_lost_meanwhile_is_an_error_that_loses_nothing(harm, when, tmp_path, monkeypatch):
    monkeypatch.setattr(run_log, "SYNC_SECONDS", 0)
    path = tmp_path / "folder" / "log.jsonl"
    client = Inline(lambda number: harm(path) if number == when else None)
    with pytest.raises(GridError, match=r"log.jsonl was .* finished runs stand in .*log\.rescued\.jsonl") as caught:
        run_grid(study, *AXES, path=path, client=client)
    error = caught.value
    assert error.failures == () and len(client.runs) == len(error.finished) == when + 1
    rescued = path.with_name("log.rescued.jsonl")
    frame = again(rescued, client)
    assert len(client.runs) == 8
    pd.testing.assert_frame_equal(frame, again(tmp_path / "unharmed.jsonl"))


@pytest.mark.skipif(os.name != "posix", reason="Windows lets nobody touch an open file")
def test_a_log_lost_after_its_last_run_is_noticed_at_the_end(path, monkeypatch):
    wait, waits = run_log.RunLog.__exit__, []

    def harmed(log, *problem):
        path.unlink()
        waits.append(problem)
        return wait(log, *problem)

    monkeypatch.setattr(run_log.RunLog, "__exit__", harmed)
    with pytest.raises(GridError, match=r"was deleted .* The 8 finished runs stand in") as caught:
        run_grid(study, *AXES, path=path, client=Inline())
    assert len(waits) == 1 and len(caught.value.finished) == 8


@pytest.mark.skipif(os.name != "posix", reason="Windows lets nobody touch an open file")
def test_a_rescued_log_replaces_no_other_and_keeps_the_runs_of_others(path, whole):
    earlier = path.with_name("log.rescued.jsonl")
    earlier.write_text("precious")
    lines = path.read_bytes()

    def other(arm, budget, seed):
        return {"score": 2}

    with pytest.raises(GridError, match=r"log\.rescued-2\.jsonl"):
        run_grid(other, *AXES, path=path, client=Inline(lambda number: number or path.unlink()))
    assert earlier.read_text() == "precious"
    assert path.with_name("log.rescued-2.jsonl").read_bytes().startswith(lines)


@pytest.mark.skipif(os.name != "posix", reason="Windows lets nobody touch an open file")
def test_where_nothing_can_be_rescued_the_error_holds_it(path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_log, "atomic_path", full)
    with pytest.raises(GridError, match=r"could not be written .*\(No space left on device\).*`finished`") as caught:
        run_grid(study, *AXES, path=path, client=Inline(lambda number: number or path.unlink()))
    assert caught.value.finished["score"].iloc[0] == 5000


@pytest.mark.skipif(os.name != "posix", reason="Windows lets nobody touch an open file")
@pytest.mark.parametrize("between_runs", [True, False])
def test_failed_runs_are_named_although_the_log_is_lost(path, monkeypatch, between_runs):
    monkeypatch.setattr(run_log, "SYNC_SECONDS", float("inf"))  # so that it is noticed at the end

    def lose(number):
        if number == 7:
            path.unlink()
            if between_runs:
                monkeypatch.setattr(run_log, "SYNC_SECONDS", -1)

    def sometimes(arm, budget, seed):
        if seed:
            raise ValueError("not this one")
        return {"score": 1}

    with pytest.raises(GridError, match=r"was deleted [\s\S]*ValueError: not this one") as caught:
        run_grid(sometimes, *AXES, path=path, client=Inline(lose))
    assert len(caught.value.failures) == 4 and len(caught.value.finished) == 4


# ---------------------------------------------------------------- a second writer, and places that cannot be written


def test_a_second_writer_is_refused(path):
    program = f"""
        from tl_helpers.grid.run import run_grid
        def study(arm, budget, seed):
            return {{"score": 1}}
        run_grid(study, ["a"], [1], [0], path={str(path)!r})
    """
    with open(path, "a+b", buffering=0) as held:
        run_log._lock(held, path)
        second = run_program(program)
    assert second.returncode == 1
    assert "BlockingIOError" in second.stderr and "Another process is writing this log" in second.stderr
    assert str(path) in second.stderr and path.read_bytes() == b""
    assert run_program(program).returncode == 0


def test_a_grid_holds_its_log_until_it_is_done(path):
    class Meddling(Inline):
        def submit(self, *call):
            with pytest.raises(BlockingIOError, match="Another process is writing"):
                run_grid(study, *AXES, path=path, client=Inline())
            return super().submit(*call)

    assert len(run_grid(study, *AXES, path=path, client=Meddling())) == 8
    assert len(run_grid(study, *AXES, path=path, client=Inline())) == 8


def test_an_unwritable_place_is_refused_before_anything_runs(tmp_path, client):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written"):
        run_grid(study, *AXES, path=tmp_path / "file" / "log.jsonl", client=client)
    with pytest.raises(OSError, match="cannot be written"):
        run_grid(study, *AXES, path=tmp_path, client=client)
    assert not client.runs


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused_before_anything_runs(tmp_path, client):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="Choose a path in a folder of your own"):
        run_grid(study, *AXES, path=tmp_path / "log.jsonl", client=client)
    assert not client.runs


@posix
def test_a_full_disk_keeps_what_was_finished(path):
    program = f"""
        import resource
        from concurrent.futures import ThreadPoolExecutor
        from tl_helpers.grid.run import run_grid
        def study(arm, budget, seed):
            return {{"score": seed}}
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, resource.RLIM_INFINITY))
        with ThreadPoolExecutor(1) as pool:
            print(len(run_grid(study, ["a"], [1], range(20), path={str(path)!r}, client=pool)))
    """
    full = run_program(program.replace("MOST", "2000"))
    assert full.returncode == 1 and "could not be written" in full.stderr and "make room" in full.stderr
    content = path.read_bytes()
    assert 1000 < len(content) <= 2000 and content.endswith(b"\n")
    finished = content.count(b'"rows"')
    assert 0 < finished < 20
    assert run_program(program.replace("MOST", "10**6")).stdout.strip() == "20"
    assert path.read_bytes().startswith(content)
    assert path.read_bytes().count(b'"rows"') == 20


# ---------------------------------------------------------------- logs that are read-only


@pytest.fixture(params=[errno.EACCES, errno.EROFS, errno.EPERM], ids=errno.errorcode.get)
def read_only(request, monkeypatch):
    """Let no log be opened for writing."""

    def refuse(path, mode="r", *arguments, **options):
        if "a" in mode:
            raise OSError(request.param, os.strerror(request.param), str(path))
        return open(path, mode, *arguments, **options)

    monkeypatch.setattr(run_log, "open", refuse, raising=False)
    return os.strerror(request.param)


def test_a_finished_log_is_read_where_it_cannot_be_written(path, whole, read_only):
    client, content = Inline(), path.read_bytes()
    pd.testing.assert_frame_equal(again(path, client), whole)
    with pytest.raises(OSError, match=rf"4 of 12 runs are left to do, .*\({read_only}\).*Copy it") as caught:
        run_grid(study, *AXES[:2], [0, 1, 2], path=path, client=client)
    assert caught.value.filename == str(path) and not client.runs
    path.write_bytes(content[:-1])
    pd.testing.assert_frame_equal(again(path, client), whole)
    assert path.read_bytes() == content[:-1] and not client.runs
    path.write_bytes(content.replace(b"5000", b"5001", 1))
    with pytest.raises(ValueError, match="line 3 is damaged"):
        again(path)
    path.unlink()
    with pytest.raises(OSError, match="Choose a path in a folder of your own"):
        again(path, client)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_without_the_right_to_write_reads_a_finished_log():
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    folder.chmod(0o755)
    program = f"""
        import os, sys
        from tl_helpers.grid.run import run_grid
        from concurrent.futures import ThreadPoolExecutor
        def study(arm, budget, seed):
            return {{"score": seed}}
        def run(count, path):
            with ThreadPoolExecutor(1) as pool:
                return len(run_grid(study, ["a"], [1], range(count), path=path, client=pool))
        if len(sys.argv) == 1:
            print(run(2, "{folder}/log.jsonl"))
        else:
            run(1, None)  # imports what somebody else may not read
            os.setgid(65534)
            os.setuid(65534)
            print(run(2, "{folder}/log.jsonl"))
            run(3, "{folder}/log.jsonl")
    """
    try:
        for arguments in ((), ("nobody",)):
            command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
            done = subprocess.run(command, capture_output=True, text=True, timeout=600)
            assert done.stdout == "2\n", done.stderr
        assert "PermissionError" in done.stderr and "1 of 3 runs are left to do" in done.stderr
    finally:
        shutil.rmtree(folder)


def test_the_home_folder_is_meant_by_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run_grid(study, *AXES, path="~/logs/log.jsonl", client=Inline())
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    assert (tmp_path / "logs/log.jsonl").is_file()


# ---------------------------------------------------------------- runs without a number


def test_not_a_number_survives_the_log(client, path):
    def diverges(arm, budget, seed):
        return {"score": [np.nan, np.inf][seed]}

    for _ in range(2):
        scores = run_grid(diverges, ["a"], [1], [0, 1], path=path, client=client)["score"]
        assert np.isnan(scores[0]) and scores[1] == np.inf
    assert len(client.runs) == 2


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"score": np.nan}, "'score' is nan"),
        ({"score": 1.0, "loss": -np.inf}, "'loss' is -inf"),
        ([{"score": 1}, {"score": np.inf}], "'score' is inf"),
        ({}, "an empty dictionary"),
    ],
    ids=["nan", "loss", "one of two rows", "empty"],
)
def test_runs_without_a_number_are_said_each_time(result, said, path):
    def sometimes(arm, budget, seed):
        return result if seed else {"score": None}

    for client in (Inline(), Inline()):
        with pytest.warns(UserWarning) as caught:
            run_grid(sometimes, ["a"], [1, 2], [0, 1], path=path, client=client)
        (warning,) = caught
        assert f"2 of 4 runs of {__name__}" in str(warning.message) and warning.filename == __file__
        assert f"arm 'a', budget 1, seed 1: {said}. They count as finished" in str(warning.message)
        assert f"delete their lines in {path}" in str(warning.message)
    assert not client.runs
