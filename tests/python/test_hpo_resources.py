# SPDX-License-Identifier: Apache-2.0
"""What a trial costs, told from made-up trees of the kernel."""

import pytest

from gn2.hpo.resources import Meter, Roots

# ---- resources ----


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def roots(tmp_path):
    return Roots(*(str(tmp_path / name) for name in ("powercap", "cgroup", "proc")))


def zone(name, energy, most=1000_000_000):
    return {"name": name, "energy_uj": energy, "max_energy_range_uj": most}


def zones(root, **found):
    for path, files in found.items():
        folder = path.replace("_", ":").replace("mmio", "-mmio")
        tree(root / "powercap" / f"intel-rapl{folder}", files)


def test_energy_of_two_packages_that_wrap_around(tmp_path):
    start = {"_0": zone("package-0", 10), "_1": zone("package-1", 999_000_000)}
    start |= {"mmio_0": zone("package-0", 77), "_0_0": zone("core", 5)}
    zones(tmp_path, **start, _0_1=zone("dram", 0), _1_0=zone("dram", 7))
    meter = Meter(None, roots(tmp_path))
    zones(tmp_path, _0=zone("package-0", 3_000_010), _1=zone("package-1", 1_000_000))
    meter._sampled -= 60  # a minute passes
    meter.trained(100, 1.0)
    zones(tmp_path, _0=zone("package-0", 10), _1_0=zone("dram", 500_007))
    found = meter.read()
    assert found["package_joules"] == pytest.approx(1000 + 2)
    assert found["dram_joules"] == pytest.approx(0.5)
    assert found["jets_per_second"] == 100
    again = Meter({"wall_seconds": 5.0, "package_joules": 8.0}, roots(tmp_path))
    zones(tmp_path, _0=zone("package-0", 1_000_010))
    assert again.read()["package_joules"] == pytest.approx(9)
    assert "dram_joules" not in again.read()  # the process before could not tell
    assert again.read()["wall_seconds"] > 5


@pytest.mark.parametrize("broken", ["energy_uj", "max_energy_range_uj"])
def test_energy_that_is_not_told_is_left_out(tmp_path, broken):
    zones(tmp_path, _0=zone("package-0", 900), _1=zone("package-1", 900))
    path = tmp_path / "powercap" / "intel-rapl:1"
    (path / broken).unlink()
    meter = Meter(None, roots(tmp_path))
    zones(tmp_path, _0=zone("package-0", 1900))
    (path / "energy_uj").write_text("100\n")  # wrapped around
    assert "package_joules" not in meter.read()
    empty = Meter(None, roots(tmp_path / "none"))
    told = {"wall_seconds", "core_seconds", "peak_memory_bytes"}
    assert set(empty.read()) == told
    assert set(Meter(None, roots(tmp_path), alone=False).read()) == {"wall_seconds"}


@pytest.mark.parametrize("version", [1, 2])
def test_memory_and_throttling_of_a_control_group(tmp_path, version):
    stat = "nr_periods 9\nthrottled_usec {}\n"
    names = {"proc/cgroup": "0::/a/b", "cgroup/a/b/memory.peak": 2 << 30}
    cpu, unit = "cgroup/a/b/cpu.stat", 1
    if version == 1:
        names = {"proc/cgroup": "5:memory:/m\n4:cpu,cpuacct:/c\n0::/none"}
        names["cgroup/memory/m/memory.max_usage_in_bytes"] = 2 << 30
        cpu, unit = "cgroup/cpu,cpuacct/c/cpu.stat", 1000
        stat = "nr_periods 9\nthrottled_time {}\n"
    tree(tmp_path, {**names, cpu: stat.format(500_000 * unit)})
    meter = Meter({"wall_seconds": 1.0, "throttled_seconds": 1.0}, roots(tmp_path))
    tree(tmp_path, {cpu: stat.format(2_000_000 * unit)})
    found = meter.read()
    assert found["throttled_seconds"] == pytest.approx(2.5)
    assert found["cgroup_peak_memory_bytes"] == 2 << 30
