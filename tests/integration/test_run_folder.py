"""A slip in DEV_RUN costs nobody a file."""

import os
import subprocess

import pytest

from system import ROOT


@pytest.mark.parametrize("command", [("up",), ("down",), ("destroy", "--yes")])
def test_a_folder_of_something_else(tmp_path, command):
    (tmp_path / "lock").write_text("theirs")
    result = subprocess.run(
        [ROOT / "dev", *command],
        env=os.environ | {"DEV_RUN": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode != 0
    assert str(tmp_path) in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["lock"]
    assert (tmp_path / "lock").read_text() == "theirs"
