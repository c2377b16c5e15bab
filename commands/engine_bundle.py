"""`./run ml bundle`: the engine bundle of a detector for device makers."""

from pathlib import Path
from typing import Annotated

import typer
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from commands.main import given_path
from core.errors import Refused

_NO_KEY = "There is no Ed25519 key there: make one with openssl genpkey -algorithm ed25519 -out KEY.pem."


def bundle(
    run: Annotated[str, typer.Option(help="the RUN folder of a detector")],
    out: Annotated[str, typer.Option(help="the ZIP file to write")],
    key: Annotated[str, typer.Option(help="PEM file of the Ed25519 key that signs")],
) -> None:
    """Bundle a detector that may be passed on: ONNX, thresholds, card, test vectors, runner, digests, signature."""
    from ml.bundle import make  # NumPy and ONNX Runtime: not for help
    from ml.model_file import BadModel

    try:
        names = make(given_path(run), given_path(out), _signer(given_path(key)))
    except BadModel as wrong:
        raise Refused(str(wrong)) from None
    print(f"{out}: {len(names)} files, research use only")


def _signer(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        raise Refused(_NO_KEY) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused(_NO_KEY)
    return key
