"""Distributions and plug-ins, found without importing anything."""

from pathlib import Path

import pytest

from launcher.errors import LaunchError
from launcher.registry import BACKENDS, read_registry


def install(site: Path, name: str, version: str, entry_points: str = "") -> None:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    if entry_points:
        (info / "entry_points.txt").write_text(entry_points)


def test_versions_come_from_directory_names(tmp_path: Path) -> None:
    install(tmp_path, "Some_Server.x", "27.0.1")
    assert read_registry([str(tmp_path)]).version("some-server-x") == "27.0.1"


def test_entry_points_of_our_groups_only(tmp_path: Path) -> None:
    install(
        tmp_path, "a", "1", "[console_scripts]\nx = m:f\n\n[launcher.backends]\ntoy = toy.backend:BACKEND [extra]\n"
    )
    registry = read_registry([str(tmp_path)])
    assert registry.names(BACKENDS) == ("toy",)
    assert registry.entry_points[BACKENDS][0].target == "toy.backend:BACKEND"
    assert "console_scripts" not in registry.entry_points


def test_two_plugins_of_one_name_are_refused_naming_both(tmp_path: Path) -> None:
    for name in ("one", "two"):
        install(tmp_path, name, "1", f"[launcher.backends]\ntoy = {name}:BACKEND\n")
    with pytest.raises(
        LaunchError, match=r"two plug-ins are called 'toy': .*(one:BACKEND|two:BACKEND) of (one|two)"
    ) as caught:
        read_registry([str(tmp_path)]).load(BACKENDS, "toy")
    assert caught.value.status == 5


def test_a_broken_plugin_is_named(tmp_path: Path) -> None:
    install(tmp_path, "a", "1", "[launcher.backends]\ntoy = no_such_module_at_all:BACKEND\n")
    with pytest.raises(LaunchError, match="plug-in 'toy' of a cannot be loaded"):
        read_registry([str(tmp_path)]).load(BACKENDS, "toy")


def test_the_first_of_two_versions_on_the_path_counts(tmp_path: Path) -> None:
    install(tmp_path / "a", "x", "1")
    install(tmp_path / "b", "x", "2")
    assert read_registry([str(tmp_path / "a"), str(tmp_path / "b")]).version("x") == "1"


def test_missing_and_unreadable_places_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file.zip").write_text("")
    assert read_registry([str(tmp_path / "none"), str(tmp_path / "file.zip")]).versions == {}
