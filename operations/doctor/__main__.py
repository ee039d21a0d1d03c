"""The command line: `make doctor`, or `python -m operations.doctor [--url URL]`.

Without `--url` it checks what the environment's settings point to. `SESSION_COOKIE` (NAME=VALUE) is a cookie to check.
It prints a line for each check; the exit code is 1 if one failed.
"""

import argparse
import os
import sys

from operations.doctor import deployment
from operations.doctor.checks import check_environment, report

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make doctor", description="Say what is wrong, and what fixes it.")
    parser.add_argument("--url", help="a deployment to check, for example https://func-prod-….azurewebsites.net")
    url = parser.parse_args().url
    cookie = os.environ.get("SESSION_COOKIE", "").strip() or None
    sys.exit(report(deployment.check(url, cookie) if url else check_environment(os.environ)))
