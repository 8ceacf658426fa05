"""What a training writes down while the disk is full, in order and without loss."""

import errno
import os

import pytest

from ray_cluster.train.output import Records, append_line, write_lines
from rl_aesthetics.errors import UserError


class Disk:
    """Takes notes as long as it has room."""

    def __init__(self):
        self.full, self.written = False, []

    def write(self, what):
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.written.append(what)


def test_what_could_not_be_written_waits_and_keeps_its_place(caplog):
    disk, records = Disk(), Records()
    records.do(lambda: disk.write(1))
    disk.full = True
    for number in (2, 3, 4):
        records.do(lambda number=number: disk.write(number))
    assert (disk.written, len(records)) == ([1], 3)
    assert len([line for line in caplog.messages if "it waits until it can be written" in line]) == 1
    disk.full = False
    records.do(lambda: disk.write(5))
    assert (disk.written, len(records)) == ([1, 2, 3, 4, 5], 0)
    assert "what was waiting is written" in caplog.messages


def test_at_the_end_of_a_run_what_cannot_be_written_is_raised():
    disk, records = Disk(), Records()
    disk.full = True
    records.do(lambda: disk.write(1))
    with pytest.raises(OSError, match="No space left"):
        records.settle(last=True)


def test_a_full_disk_that_was_told_as_the_users_mistake_waits_too():
    def save():
        try:
            raise OSError(errno.ENOSPC, "No space left")
        except OSError as error:
            raise UserError("cannot write the agent") from error

    records = Records()
    records.do(save)
    assert len(records) == 1


def test_another_mistake_does_not_wait():
    def fail():
        raise UserError("not because of the disk")

    with pytest.raises(UserError):
        Records().do(fail)


def test_a_line_is_appended_wholly_or_not_at_all(tmp_path):
    file = tmp_path / "metrics.jsonl"
    append_line(file, {"a": 1.0})
    with pytest.raises(OSError, match="No space left"):
        append_line(type(file)("/dev/full"), {"a": 2.0})
    append_line(file, {"a": 3.0})
    assert file.read_text() == '{"a": 1.0}\n{"a": 3.0}\n'
    write_lines(file, [{"b": 1.0}])
    assert file.read_text() == '{"b": 1.0}\n'
