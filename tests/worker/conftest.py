"""Skip these tests below Python 3.13, which Azure's worker code needs."""

import sys

collect_ignore_glob = ["*.py"] if sys.version_info < (3, 13) else []
