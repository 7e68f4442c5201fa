"""Plugins: discovery is lazy, answers are collected, and a broken plugin is only reported."""

import pytest

from awscrt import __version__, plugins
from awscrt.plugins import Command, FeatureInfo, PluginWarning, hookimpl


@pytest.fixture
def registered():
    """Registers plugins for the time of a test."""
    added = []

    def register(plugin, name=None):
        plugins.register(plugin, name)
        added.append(plugin)

    yield register
    for plugin in added:
        plugins.get_plugin_manager().unregister(plugin)


class Feature:
    @hookimpl
    def awscrt_feature(self):
        return FeatureInfo("zebra", "1.2", "zebra 1.0", ("zebra",), "stripes")


class Transport:
    capsule = object()

    @hookimpl
    def awscrt_transport(self, name):
        return self.capsule if name == "carrier-pigeon" else None


class Broken:
    @hookimpl
    def awscrt_feature(self):
        raise ZeroDivisionError("broken")

    @hookimpl
    def awscrt_transport(self, name):
        raise ZeroDivisionError("broken")


class Greeter:
    @hookimpl
    def awscrt_commands(self):
        return [
            Command(
                "greet",
                "say hello",
                lambda parser: parser.add_argument("name"),
                lambda arguments: print("hello", arguments.name),
            )
        ]


def test_core_describes_itself():
    core = plugins.features()[0]
    assert (core.name, core.version) == ("core", __version__)
    assert "awscrt.io" in core.modules


def test_registered_feature_is_listed(registered):
    registered(Feature())
    assert "zebra" in [feature.name for feature in plugins.features()]


def test_transport_is_found_by_name(registered):
    registered(Transport())
    assert plugins.find_transport("carrier-pigeon") is Transport.capsule


def test_missing_transport_says_what_to_install():
    with pytest.raises(RuntimeError, match="pip install 'awscrt-mqtt\\[websocket\\]'"):
        plugins.find_transport(
            "smoke-signals",
            hint="awscrt-mqtt needs the 'smoke-signals' transport, which no "
            "installed package provides: pip install 'awscrt-mqtt[websocket]'",
        )
    with pytest.raises(RuntimeError, match="smoke-signals"):
        plugins.find_transport("smoke-signals")


def test_broken_plugin_is_reported_and_passed_over(registered):
    registered(Transport())
    registered(Broken(), "broken-one")
    with pytest.warns(PluginWarning, match="broken-one"):
        assert plugins.find_transport("carrier-pigeon") is Transport.capsule
    with pytest.warns(PluginWarning, match="broken-one"):
        assert plugins.features()[0].name == "core"


def test_unknown_names_have_no_provider():
    assert plugins.credentials_provider("nobody") is None
    assert isinstance(plugins.telemetry(), list)


def test_registering_twice_is_an_error(registered):
    plugin = Feature()
    registered(plugin)
    with pytest.raises(ValueError):
        plugins.register(plugin)


def test_command_of_a_plugin(registered, capsys):
    from awscrt.__main__ import main

    registered(Greeter())
    assert main(["greet", "you"]) == 0
    assert capsys.readouterr().out == "hello you\n"


def test_duplicate_command_is_left_out(registered):
    registered(Greeter(), "first")
    registered(Greeter(), "second")
    with pytest.warns(PluginWarning, match="greet"):
        assert [command.name for command in plugins.commands()].count("greet") == 1


def install(directory, name, entry_point, source):
    """What pip leaves behind for a distribution with one module and one entry point."""
    info = directory / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[awscrt]\n{name} = {entry_point}\n")
    (directory / f"{name.replace('-', '_')}.py").write_text(source)


DISCOVER = """
import sys, warnings
sys.path.insert(0, sys.argv[1])
import awscrt.io, awscrt.plugins
assert "good_plugin" not in sys.modules, "scanned at import"
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(sorted(feature.name for feature in awscrt.plugins.features()))
    awscrt.plugins.features()
for warning in caught:
    print(warning.category.__name__, warning.message)
"""


def test_installed_plugins_are_discovered_on_first_use(run_python, tmp_path):
    install(
        tmp_path,
        "good-plugin",
        "good_plugin",
        """
from awscrt.plugins import FeatureInfo, hookimpl
@hookimpl
def awscrt_feature():
    return FeatureInfo("good", "1.0")
""",
    )
    install(tmp_path, "bad-import", "bad_import", "raise RuntimeError('cannot load')")
    install(
        tmp_path,
        "bad-hook",
        "bad_hook",
        """
from awscrt.plugins import hookimpl
@hookimpl
def awscrt_feature(unknown_argument):
    pass
""",
    )
    done = run_python(DISCOVER, str(tmp_path))
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert "'core'" in lines[0] and "'good'" in lines[0]
    reported = sorted(line.split("'")[1] for line in lines if line.startswith("PluginWarning"))
    assert reported == ["bad-hook", "bad-import"]


# ---- command line ----


def test_info(run_python):
    done = run_python("from awscrt.__main__ import main; raise SystemExit(main(['info']))")
    assert done.returncode == 0, done.stderr
    assert f"awscrt {__version__}" in done.stdout
    assert "TLS provider" in done.stdout and "memory budget" in done.stdout and "core" in done.stdout


def test_info_as_json(run_python):
    import json

    done = run_python("from awscrt.__main__ import main; raise SystemExit(main(['info', '--json']))")
    facts = json.loads(done.stdout)
    assert facts["version"] == __version__
    assert facts["features"][0]["name"] == "core"


def test_module_runs(run_python):
    done = run_python(
        "import runpy, sys; sys.argv = ['awscrt', '--version']; runpy.run_module('awscrt', run_name='__main__')"
    )
    assert done.stdout == f"awscrt {__version__}\n"


def test_no_command_prints_help(capsys):
    from awscrt.__main__ import main

    assert main([]) == 2
    assert "info" in capsys.readouterr().out
