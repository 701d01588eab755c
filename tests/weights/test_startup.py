import subprocess
import sys


def test_weights_load_without_torchs_compiler() -> None:
    code = (
        "import sys, rsseg; rsseg.load_weights('buildings'); "
        "print([name for name in ('torch._dynamo', 'sympy', 'kornia', 'matplotlib') if name in sys.modules])"
    )

    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert said.strip() == "[]"
