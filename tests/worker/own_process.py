"""What a program imports can only be seen where nothing has been imported before."""

import subprocess
import sys


def in_own_process(program: str) -> None:
    """Run some Python; fails with what it wrote if it fails."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
