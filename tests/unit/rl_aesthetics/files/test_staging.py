"""A staged folder appears whole or not at all, whatever happens to the run that writes it."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from rl_aesthetics.errors import UserError
from rl_aesthetics.files.staged_folder import StagedFolder


def staged(output, overwrite=False):
    return StagedFolder(output, overwrite, is_ours=lambda folder: (folder / "mark").exists())


def write(output, text, overwrite=False):
    with staged(output, overwrite) as folder:
        (folder.path / "mark").write_text(text)
        folder.commit()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_appears_at_commit_and_not_before(tmp_path):
    with staged(tmp_path / "deep" / "out") as folder:
        (folder.path / "mark").write_text("new")
        assert not (tmp_path / "deep" / "out").exists()
        folder.commit()
    assert names(tmp_path / "deep") == ["out"]
    assert names(tmp_path / "deep" / "out") == ["mark"]


def test_without_commit_nothing_is_left_not_even_parents(tmp_path):
    with staged(tmp_path / "deep" / "er" / "out") as folder:
        (folder.path / "mark").write_text("new")
    assert names(tmp_path) == []


def test_what_is_there_is_kept_unless_overwriting_is_asked_for(tmp_path):
    write(tmp_path / "out", "old")
    with pytest.raises(UserError, match=r"exists already.*--overwrite"):
        write(tmp_path / "out", "new")
    assert (tmp_path / "out" / "mark").read_text() == "old"
    write(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out" / "mark").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_a_failed_run_leaves_what_it_should_have_replaced(tmp_path):
    write(tmp_path / "out", "old")
    with pytest.raises(RuntimeError, match="stop"), staged(tmp_path / "out", overwrite=True):
        raise RuntimeError("stop")
    assert (tmp_path / "out" / "mark").read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_overwriting_never_deletes_what_is_not_ours(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(UserError, match="no dataset, so --overwrite does not delete it"):
        write(tmp_path / "thesis", "new", overwrite=True)
    assert names(tmp_path / "thesis") == ["chapter1.tex"]


def test_a_file_or_a_link_in_the_way_is_a_mistake(tmp_path):
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(UserError, match="is no folder"):
            write(tmp_path / name, "new", overwrite=True)


def test_a_place_that_cannot_be_written_is_a_mistake(tmp_path):
    (tmp_path / "file").write_text("text")
    with pytest.raises(UserError, match="cannot write"):
        write(tmp_path / "file" / "out", "new")
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_write_permission_is_a_mistake(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied"):
        write(tmp_path / "out", "new")


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", "new")
    assert names(tmp_path / "out") == ["mark"]


def run_and_kill(output):
    """Another process opens a staged folder, writes into it and is killed."""
    program = f"""
        import sys, time
        from pathlib import Path
        from rl_aesthetics.files.staged_folder import StagedFolder
        with StagedFolder(Path({str(output)!r}), True, lambda folder: True) as staged:
            (staged.path / "mark").write_text("half")
            print("writing", flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    return process


def test_a_killed_run_leaves_no_output_and_the_next_one_cleans_up(tmp_path):
    process = run_and_kill(tmp_path / "out")
    process.send_signal(signal.SIGKILL)
    process.wait()
    (leftover,) = tmp_path.iterdir()
    assert leftover.name.startswith(".out.partial-")
    write(tmp_path / "out", "new")
    assert names(tmp_path) == ["out"]


def test_a_run_that_is_still_alive_is_not_cleaned_up(tmp_path):
    process = run_and_kill(tmp_path / "out")
    try:
        write(tmp_path / "out", "new")
        assert any(name.startswith(".out.partial-") for name in names(tmp_path))
    finally:
        process.kill()
        process.wait()


def test_an_old_output_is_put_back_if_a_run_died_between_the_renames(tmp_path):
    write(tmp_path / "out", "old")
    (tmp_path / "out").rename(tmp_path / ".out.replaced-1234abcd")
    with pytest.raises(UserError, match="exists already"):
        write(tmp_path / "out", "new")
    assert (tmp_path / "out" / "mark").read_text() == "old"


def test_a_name_with_wildcards_cleans_up_only_its_own(tmp_path):
    (tmp_path / ".out1.partial-1234abcd").mkdir()
    write(tmp_path / "out[1]", "new")
    write(tmp_path / "out?", "new")
    assert (tmp_path / ".out1.partial-1234abcd").exists()
