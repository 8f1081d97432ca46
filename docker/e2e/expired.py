"""Makes a coordinator's certificate that ended a day ago: python expired.py COORDINATOR OUT."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from server.federation.folder import ca, certificate, coordinator_folder

source, out = coordinator_folder.read(Path(sys.argv[1])), Path(sys.argv[2])
shutil.copytree(source.coordinator, out)
ended = datetime.now(UTC) - timedelta(days=1)
signed = certificate.issue(
    ca.load_authority(source), certificate.new_key(), source.host, ended - certificate.SERVER_LIFE
)
(out / "server.crt").write_bytes(signed.certificate_pem())
(out / "server.key").write_bytes(signed.key_pem())
