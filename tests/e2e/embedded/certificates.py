"""A certificate authority of one's own, made with the `openssl` command."""

import ipaddress
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Issued:
    """A certificate, its key, and the authority that clients must trust."""

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True)
class Authority:
    """Signs certificates for names and addresses."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, *names: str) -> Issued:
        """A server certificate that is valid for `names` (host names or addresses) for a day."""
        stem = self.folder / names[0].replace(":", "_")
        key, request, certificate = (stem.with_suffix(s) for s in (".key", ".csr", ".pem"))
        alternative = ",".join(_alternative(name) for name in names)
        _openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request),
            *("-subj", f"/CN={names[0]}"),
        )
        extensions = stem.with_suffix(".ext")
        extensions.write_text(f"subjectAltName={alternative}\nextendedKeyUsage=serverAuth\n")
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-days", "1"),
            *("-CAkey", self.folder / "ca.key", "-CAcreateserial"),
            *("-extfile", extensions, "-out", certificate),
        )
        return Issued(certificate, key, self.certificate)


def authority(folder: Path) -> Authority:
    """A new authority, with its files in `folder`."""
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
        *("-keyout", folder / "ca.key", "-out", folder / "ca.pem"),
        *("-subj", "/CN=Weighbridge test authority"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    return Authority(folder)


def _alternative(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def _openssl(*words: object) -> None:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
