import json
import subprocess
import sys

from click.testing import CliRunner, Result

from rsseg.cli.main import main
from rsseg.models.registry import NETWORKS


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["models", *args])


def test_the_table_has_a_line_for_each_encoder() -> None:
    head, *lines = run().stdout.splitlines()

    assert head.split() == ["network", "encoder", "Mparams", "GMAC", "reach", "passes", "paper"]
    assert len(lines) == sum(len(entry.sizes) for entry in NETWORKS.values())
    (line,) = (line for line in lines if line.startswith("maresunet ") and "*" in line)
    assert line.split()[:6] == ["maresunet", "resnet34*", "26.28", "28.70", "514", "1"]
    assert "arXiv:2011.14302" in line


def test_what_a_network_does_not_have_is_a_dash() -> None:
    (line,) = (line for line in run().stdout.splitlines() if line.startswith("attanet-light "))

    assert line.split()[1:6] == ["-", "1.00", "2.70", "-", "-"]


def test_a_network_of_one_size_says_for_which_its_cost_is() -> None:
    assert " 67.95 at 128 " in run("maskattn-unet-published").stdout


def test_names_choose() -> None:
    names = [
        json.loads(line)["name"] for line in run("attanet_light", "linear", "--json").stdout.splitlines()
    ]

    assert names == ["attanet-light", "linear"]


def test_the_json_has_an_object_a_line_with_all_that_the_registry_says() -> None:
    rows = [json.loads(line) for line in run("--json").stdout.splitlines()]

    assert [(row["name"], row["encoder"]) for row in rows] == [
        (name, encoder) for name, entry in NETWORKS.items() for encoder in entry.sizes
    ]
    assert {row["name"]: row["encoder"] for row in rows if row["default"]} == {
        name: entry.default_encoder for name, entry in NETWORKS.items()
    }
    (row,) = (r for r in rows if (r["name"], r["encoder"]) == ("abcnet", "resnet18"))
    assert row == {
        "name": "abcnet",
        "encoder": "resnet18",
        "default": True,
        "parameters": 13_666_563,
        "gmac": 15.61,
        "reach": 281,
        "stride": 32,
        "context_passes": 2,
        "least_batch": 2,
        "side": None,
        "paper": NETWORKS["abcnet"].paper,
    }


def test_an_unknown_network_is_refused_with_the_known_ones() -> None:
    result = run("segnet")

    assert result.exit_code == 2
    assert "segnet: unknown network" in result.stderr
    assert "maresunet, manet" in result.stderr


def test_it_answers_without_torch() -> None:
    script = (
        "import sys; from rsseg.cli.main import main\n"
        "try: main(['models'], prog_name='rsseg')\n"
        "except SystemExit: print([n for n in ('torch', 'numpy', 'rasterio') if n in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout.splitlines()[-1] == "[]"
