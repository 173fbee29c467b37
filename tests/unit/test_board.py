"""launcher.board: what workers tell, as others read it."""

import os
import time
from pathlib import Path

import pytest

from launcher.board import LEAVING, READY, STARTING, Board


@pytest.fixture(params=["in memory", "in a file"])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Board:
    return Board(None if request.param == "in memory" else str(tmp_path / "workers"))


def test_what_a_forked_worker_writes_the_others_read(board: Board) -> None:
    row = board.free()
    before = time.monotonic()
    board.enter(row, 7, 1)
    assert before <= board.entry(row).since <= time.monotonic()
    assert board.free() != row
    (entry,) = board.entries()
    assert (entry.pid, entry.generation, entry.state, entry.requests) == (7, 1, STARTING, 0)
    pid = os.fork()
    if pid == 0:
        board.ready(row)
        board.count(row, 12)
        board.show(row)
        os._exit(0)
    os.waitpid(pid, 0)
    (entry,) = board.entries()
    assert (entry.state, entry.requests) == (READY, 12)
    assert entry.sign > 0
    board.leave(row)
    assert board.entries()[0].state == LEAVING
    board.clear(row)
    assert board.entries() == []


def test_a_file_is_the_same_board_to_everyone(tmp_path: Path) -> None:
    path = str(tmp_path / "workers")
    one, other = Board(path), Board(path)
    one.enter(3, 99, 2)
    assert [(entry.row, entry.pid, entry.generation) for entry in other.entries()] == [(3, 99, 2)]
    found = os.stat(path)
    assert found.st_mode & 0o007 == 0
    assert found.st_blocks * 512 >= found.st_size  # in a hole a full disk would end whoever writes


def test_a_row_is_used_again_from_the_beginning(board: Board) -> None:
    board.enter(0, 7, 1)
    board.count(0, 5)
    board.clear(0)
    board.enter(0, 8, 2)
    assert [(entry.pid, entry.requests, entry.state) for entry in board.entries()] == [(8, 0, STARTING)]
