import os

import pytest

from ray_cluster.cluster.session import _left_out


def test_only_lines_with_the_words_are_left_out_of_standard_error(capfd):
    with _left_out(b"harmless"):
        os.write(2, b"first\nquite harmless\nlast\n")
    assert capfd.readouterr().err == "first\nlast\n"


def test_what_was_written_before_an_error_is_shown(capfd):
    def fail():
        os.write(2, b"why it failed\n")
        raise RuntimeError

    with pytest.raises(RuntimeError), _left_out(b"harmless"):
        fail()
    assert capfd.readouterr().err == "why it failed\n"
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"
