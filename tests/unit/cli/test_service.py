"""The unit file: what systemd itself says of it, and what fits what."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hosu.cli.service import unit
from hosu.cli.shards import ShardsConfig
from hosu.collect.collector_config import CollectorConfig
from hosu.errors import InputError


def settings(text: str) -> dict[str, list[str]]:
    """The unit's assignments, by name."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([A-Z]\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("user", [False, True], ids=["system", "user"])
def test_systemd_finds_nothing_wrong_with_it(user: bool, tmp_path: Path):
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("there is no systemd-analyze here to verify the unit with")
    file = tmp_path / "hosu-collect.service"
    file.write_text(unit(["--symbols", "top:300", "--keys", "a b%c$d;"], user=user, account="root"), encoding="utf-8")
    asked = subprocess.run(
        [tool, "verify", *(["--user"] if user else []), str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
    )
    about_it = [line for line in asked.stderr.splitlines() if "hosu-collect" in line]
    assert (asked.returncode, about_it) == (0, [])


@pytest.mark.parametrize("user", [False, True], ids=["system", "user"])
def test_it_starts_this_program_day_by_day_and_no_placeholder_is_left(user: bool):
    text = unit(["--feeds", "trades"], user=user)
    assert settings(text)["ExecStart"] == [f"{sys.executable} -m hosu collect --daily --feeds trades"]
    assert not re.findall(r"@[A-Z]+@", text)
    assert settings(text)["Type"] == ["notify"]
    assert settings(text)["WantedBy"] == ["default.target" if user else "multi-user.target"]


def test_a_failing_loop_is_slowed_down_and_ended():
    found = settings(unit())
    assert (found["Restart"], found["RestartSec"]) == (["on-failure"], ["30s"])
    assert (found["StartLimitIntervalSec"], found["StartLimitBurst"]) == (["1h"], ["6"])
    assert found["RestartPreventExitStatus"] == ["2"]


def test_the_time_to_stop_is_longer_than_ours():
    stop_s = int(settings(unit())["TimeoutStopSec"][0].removesuffix("s"))
    config = CollectorConfig()
    assert stop_s > ShardsConfig().kill_after_s > config.stop_s + config.log_close_s


def test_keys_come_from_a_file_and_memory_does_not_go_to_disk():
    found = settings(unit(environment="/etc/keys.env"))
    assert found["EnvironmentFile"] == ["/etc/keys.env"]
    assert (found["LimitCORE"], found["UMask"], found["NoNewPrivileges"]) == (["0"], ["0077"], ["yes"])
    assert found["ProtectSystem"] == ["strict"]


def test_a_lake_elsewhere_is_made_writable_and_one_on_s3_needs_no_folder():
    assert settings(unit(lake="/data/lake"))["ReadWritePaths"] == ["/data/lake"]
    elsewhere = settings(unit(lake="s3://bucket/lake"))
    assert "ReadWritePaths" not in elsewhere
    assert any("HOSU_LAKE=s3://bucket/lake" in each for each in elsewhere["Environment"])


def test_options_are_quoted_as_systemd_reads_them():
    (line,) = settings(unit(["--symbols", 'a b"c', "%n", "$HOME", ""]))["ExecStart"]
    assert line.endswith('--daily --symbols "a b\\"c" %%n $$HOME ""')


@pytest.mark.parametrize(
    "wrong",
    [
        {"lake": "relative/lake"},
        {"lake": "/a b"},
        {"lake": "/a\nExecStart=/bin/evil"},
        {"environment": "hosu.env"},
        {"environment": "/x%n"},
        {"account": "Root; rm"},
        {"options": ["--symbols", "a\nExecStartPre=/bin/evil"]},
    ],
)
def test_what_a_unit_file_would_read_as_something_else_is_refused(wrong: dict[str, object]):
    with pytest.raises(InputError):
        unit(**wrong)  # type: ignore[arg-type]
