"""Secrets of AWS Secrets Manager, by name."""

from contextlib import closing
from typing import Any

from weighbridge.contract.errors import Unavailable


def secret(identifier: str, region: str) -> str:
    """The text of a secret; `Unavailable`, which names it and nothing of it, if it cannot be had."""
    import botocore.session
    from botocore.exceptions import BotoCoreError, ClientError

    session: Any = botocore.session.Session()
    try:
        with closing(session.create_client("secretsmanager", region_name=region)) as client:
            return str(client.get_secret_value(SecretId=identifier)["SecretString"])
    except (BotoCoreError, ClientError, KeyError) as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
        raise Unavailable(
            f"the secret {identifier!r} cannot be read: {code}", retry=False
        ) from None
