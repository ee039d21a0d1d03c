"""Azure's own worker code needs Python 3.13: elsewhere there is nothing that these tests could hold us to."""

import sys

collect_ignore_glob = ["*.py"] if sys.version_info < (3, 13) else []
