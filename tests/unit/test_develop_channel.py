"""launcher.develop.channel: what is told arrives whole, whoever listens at the same time."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from launcher.develop.channel import Changes, Channel


def test_threads_that_look_at_the_same_time(tmp_path: Path) -> None:
    channel = Channel(str(tmp_path))
    changes = Changes(channel)
    heard: set[str] = set()
    with ThreadPoolExecutor(4) as threads:
        for number in range(300):
            channel.changed([f"/site/{number}.html"])
            for news in threads.map(lambda _: changes.news(), range(4)):
                heard.update(news)
    assert len(heard) == 300
    assert changes.news() == []


def test_threads_that_tell_at_the_same_time(tmp_path: Path) -> None:
    channel = Channel(str(tmp_path))
    with ThreadPoolExecutor(4) as threads:
        for _ in threads.map(lambda number: channel.tell("learnt.json", {"modules": [number] * 5000}), range(200)):
            assert channel.hear("learnt.json")["modules"]
