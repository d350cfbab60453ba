"""Simulated hardware: the file it is made from, and what it reports before anything is done to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from simstack.gateway.model import NoSuchSp, NoSuchSwitch, SimulatedHardware, switch_slots
from simstack.gateway.sp_sim import SpSimConfig, SpSimError, load_sp_sim
from simstack.gateway.types import (
    Gimlet,
    IgnitionPresent,
    RotStateV2,
    RotStateV3,
    Sidecar,
    SpIdentifier,
    SpIgnitionInfo,
)

DEFAULT_FILE = Path(__file__).parents[3] / "configs/sp-sim.toml"
SEEDS = f'manufacturing_root_cert_seed = "{"01" * 32}"\ndevice_id_cert_seed = "{"02" * 32}"'


@pytest.fixture(scope="module")
def default() -> SpSimConfig:
    return load_sp_sim(DEFAULT_FILE)


def load(tmp_path: Path, text: str) -> SpSimConfig:
    path = tmp_path / "sp-sim.toml"
    path.write_text(text)
    return load_sp_sim(path)


def sps(*, sidecar: str = 'serial_number = "S0"', gimlet: str = 'serial_number = "G0"', more: str = "") -> str:
    return f"[[simulated_sps.sidecar]]\n{SEEDS}\n{sidecar}\n[[simulated_sps.gimlet]]\n{SEEDS}\n{gimlet}\n{more}\n"


def component(**changes: str) -> str:
    keys = {
        "id": '"dev-0"',
        "device": '"d"',
        "description": '"x"',
        "capabilities": "2",
        "presence": '"Present"',
    } | changes
    return "[[simulated_sps.gimlet.components]]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items())


def test_the_default_file_has_two_switches_and_two_sleds(default: SpSimConfig) -> None:
    serials = {
        str(identifier): sp.state().serial_number
        for identifier, sp in SimulatedHardware.new(default, switch_slot=0).sps.items()
    }
    assert serials == {
        "switch 0": "SimSidecar0",
        "switch 1": "SimSidecar1",
        "sled 0": "SimGimlet00",
        "sled 1": "SimGimlet01",
    }


def test_every_key_of_the_default_file_that_is_commented_out_is_a_key(tmp_path: Path) -> None:
    lines = DEFAULT_FILE.read_text().splitlines()
    text = "\n".join(line[1:] if line.startswith("#") and not line.startswith(("# ", "#-")) else line for line in lines)
    config = load(tmp_path, text)
    gimlet = config.simulated_sps.gimlet[0]
    assert gimlet.cabooses.stage0_next is not None
    assert gimlet.ereport_config.ereports[0]["class"] == "hw.pwr.fault"
    assert config.simulated_sps.sidecar[0].part_number == "913-0000006"


def test_components_and_sensors_are_kept(default: SpSimConfig) -> None:
    gimlet = default.simulated_sps.gimlet[0]
    assert [component.id for component in gimlet.components] == [
        "sp3-host-cpu", "dev-0", "dev-1", "dev-2", "dev-6", "dev-7", "dev-8", "dev-39", "dev-46", "dev-53",
    ]  # fmt: skip
    failed = gimlet.components[1]
    assert failed.presence == "Failed"
    assert failed.sensors[0].last_error is not None
    assert failed.sensors[0].last_error.value == "DeviceError"
    assert [sensor.name for sensor in gimlet.components[-1].sensors][:2] == ["Southeast", "Northeast"]
    assert default.simulated_sps.sidecar[1].components == ()


@pytest.mark.parametrize(("slot", "order"), [(0, [0, 1]), (1, [1, 0])])
def test_each_gateway_has_its_own_switch_first(default: SpSimConfig, slot: int, order: list[int]) -> None:
    hardware = SimulatedHardware.new(default, switch_slot=slot)
    assert hardware.local_switch == SpIdentifier("switch", slot)
    assert list(hardware.sps) == [
        *(SpIdentifier("switch", switch) for switch in order),
        SpIdentifier("sled", 0),
        SpIdentifier("sled", 1),
    ]


def test_gateways_share_nothing(default: SpSimConfig) -> None:
    one, other = (SimulatedHardware.new(default, switch_slot=slot) for slot in (0, 1))
    sled = SpIdentifier("sled", 0)
    one.sp(sled).power_state = "A2"
    assert one.sp(sled).state().power_state == "A2"
    assert other.sp(sled).state().power_state == "A0"


def test_what_a_sled_reports(default: SpSimConfig) -> None:
    hardware = SimulatedHardware.new(default, switch_slot=0)
    sled = SpIdentifier("sled", 1)
    state = hardware.sp(sled).state()
    assert (state.model, state.power_state, state.revision) == ("i86pc", "A0", 0)
    assert state.hubris_archive_id == "0000000000000000"
    assert isinstance(state.rot, RotStateV3)
    assert (state.rot.active.slot, state.rot.slot_a_fwid, state.rot.slot_a_error) == ("a", "a" * 64, None)
    assert hardware.ignition_of(sled) == SpIgnitionInfo(sled, IgnitionPresent(id=Gimlet(), power=True))


def test_what_a_switch_reports(default: SpSimConfig) -> None:
    hardware = SimulatedHardware.new(default, switch_slot=0)
    switch = SpIdentifier("switch", 1)
    state = hardware.sp(switch).state()
    assert (state.model, state.power_state) == ("FAKE_SIM_SIDECAR", "A2")
    assert hardware.ignition_of(switch).details == IgnitionPresent(id=Sidecar(), power=True)


def test_an_old_root_of_trust_and_a_part_number(tmp_path: Path) -> None:
    config = load(tmp_path, sps(gimlet='serial_number = "G0"\npart_number = "p"\nold_rot_state = true'))
    state = SimulatedHardware.new(config, switch_slot=0).sp(SpIdentifier("sled", 0)).state()
    assert state.model == "p"
    assert isinstance(state.rot, RotStateV2)


@pytest.mark.parametrize("identifier", [SpIdentifier("sled", 2), SpIdentifier("switch", 2), SpIdentifier("power", 0)])
def test_there_are_no_others(default: SpSimConfig, identifier: SpIdentifier) -> None:
    hardware = SimulatedHardware.new(default, switch_slot=0)
    with pytest.raises(NoSuchSp, match=rf"nonexistent SP \({identifier}\)"):
        hardware.sp(identifier)
    with pytest.raises(NoSuchSp):
        hardware.ignition_of(identifier)


def test_a_gateway_needs_a_switch(tmp_path: Path) -> None:
    config = load(tmp_path, sps())
    assert list(switch_slots(config)) == [0]
    with pytest.raises(NoSuchSwitch, match="no sidecar for switch1"):
        SimulatedHardware.new(config, switch_slot=1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("simulated_sps", "is not TOML"),
        ("", "missing required field `simulated_sps`"),
        ("[simulated_sps]\nsidecar = []", "simulated_sps: Object missing required field `gimlet`"),
        ("[simulated_sp]", "unknown key simulated_sp; the nearest known one is simulated_sps"),
        (sps() + "[logs]\n", "unknown key logs; the nearest known one is log"),
        (
            sps(gimlet='serial_numbr = "G0"'),
            "unknown key serial_numbr in simulated_sps.gimlet[0]; the nearest known one is serial_number",
        ),
        (
            sps(gimlet='serial_number = "G0"\nzzz = 1'),
            "unknown key zzz in simulated_sps.gimlet[0]; the nearest known one is ",
        ),
        (
            sps(more=component(sensors='[{ nam = "t", kind = "Speed" }]')),
            "unknown key nam in simulated_sps.gimlet[0].components[0].sensors[0]; the nearest known one is name",
        ),
        (
            sps(gimlet='serial_number = "G0"\nnetwork_config = [{ real.bind_addr = "[::1]:0" }, {}]'),
            "unknown key real in simulated_sps.gimlet[0].network_config[0]; the nearest known one is simulated",
        ),
        (
            sps(gimlet='serial_number = "G0"\nereport_config.restartid = "x"'),
            "unknown key restartid in simulated_sps.gimlet[0].ereport_config; the nearest known one is restart_id",
        ),
        (sps(sidecar="serial_number = 1"), "simulated_sps.sidecar[0].serial_number: Expected `str`, got `int`"),
        (sps(more=component(presence='"Here"')), "simulated_sps.gimlet[0].components[0].presence: Invalid enum value"),
        (sps(more=component(id='"seventeen-letters"')), "components[0].id: Expected `str` of length <= 16"),
        (sps(more=component(serial_console='"console"')), "'console' is not an address"),
        (sps(more=component() + "\n" + component()), "G0 has two components dev-0"),
        (sps(sidecar='serial_number = "G0"'), "serial_number G0 is used twice"),
        (
            sps(gimlet='serial_number = "G0"\nereport_config.ereports = [{ task_gen = 1, uptime = 1 }]'),
            "missing required field `task_name`",
        ),
        (
            sps(gimlet='serial_number = "G0"\nnetwork_config = [{ simulated.bind_addr = "[::1]:0" }]'),
            "network_config: Expected `array` of length 2",
        ),
    ],
)
def test_a_bad_file_is_one_line_that_names_file_and_key(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(SpSimError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert complaint in message
    assert str(tmp_path / "sp-sim.toml") in message
    assert "\n" not in message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpSimError, match=r"cannot read .*: No such file"):
        load_sp_sim(tmp_path / "absent.toml")
