"""What nobody uses is not in memory."""

import subprocess
import sys

PROGRAM = """
import sys
import services.source.__main__
heavy = ("botocore", "azure", "google.cloud", "google.auth", "requests")
print([name for name in heavy if name in sys.modules])
"""


def test_libraries_of_clouds_wait_for_a_bucket_that_needs_them() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )

    assert run.stdout.strip() == "[]"
