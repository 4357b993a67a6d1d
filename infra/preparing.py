"""What a deployment does beside the stack: keys at the edge, assets, pages, the administrator's token.

Acts with the rights of whoever deploys, not with those of a function.
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from infra import edge_keys
from infra.stacks import Stack, resource

if TYPE_CHECKING:
    from boto3.session import Session

    from chalicelib.registry.stores import Stores

Parameters = Mapping[str, str]


def before_update(session: "Session", stack: Stack, parameters: Parameters) -> None:
    """What must be there before new functions answer: the keys they will sign with, and the assets that
    their pages name. The old ones stay."""
    if "EdgeKeys" in stack.outputs:
        edge_keys.publish(
            session, stack.outputs["EdgeKeys"], _cookies(session, stack, parameters), keep=True
        )
    if not stack.parameters.get("S3Endpoint"):
        from chalicelib.catalogue import publish

        with stores(session, stack, parameters) as opened:
            publish.publish_static(opened.site)


def edge_keys_of(session: "Session", stack: Stack, parameters: Parameters) -> None:
    """Puts the keys of the stack's settings at the edge, and nothing else."""
    if "EdgeKeys" in stack.outputs:
        edge_keys.publish(
            session, stack.outputs["EdgeKeys"], _cookies(session, stack, parameters), keep=False
        )


def _cookies(session: "Session", stack: Stack, parameters: Parameters) -> dict[str, str]:
    values = {**stack.parameters, **parameters}
    secret = parameters.get("Secret") or _secret(session, stack)
    return edge_keys.wanted(
        secret, int(values.get("CookieEpoch", "0")), values.get("Anonymous", "none")
    )


def _secret(session: "Session", stack: Stack) -> str:
    """The secret of the running API: a hidden parameter, which only the function tells."""
    client: Any = session.client("lambda")
    found = client.get_function_configuration(FunctionName=resource(session, stack, "APIHandler"))
    client.close()
    secret: str = found["Environment"]["Variables"]["WEIGHBRIDGE_SECRET"]
    return secret


@contextmanager
def stores(session: "Session", stack: Stack, parameters: Parameters) -> Iterator["Stores"]:
    """The stores of a stack, open for as long as the block runs."""
    from chalicelib import wiring
    from chalicelib.settings import Settings

    values = {**stack.parameters, **parameters}
    opened: Any = wiring.build(
        Settings(
            catalog=f"dynamodb:{stack.outputs['Table']}",
            bucket=stack.outputs["Artifacts"],
            site_bucket=stack.outputs["Site"],
            region=session.region_name or "",
            s3_endpoint=values.get("S3PublicEndpoint") or values.get("S3Endpoint", ""),
            s3_access_key=parameters.get("S3AccessKey", ""),
            s3_secret_key=parameters.get("S3SecretKey", ""),
        )
    )
    try:
        if values.get("S3Endpoint") and stack.new:  # the stack's own buckets stay empty then
            for store in (opened.blobs, opened.site):
                store.ensure_bucket()
        yield opened
    finally:
        for store in (opened.site, opened.blobs, opened.table):
            store.close()


def administrator(opened: "Stores") -> str:
    """A new token of an administrator."""
    from chalicelib.registry import tokens

    token = f"wb_{secrets.token_hex(8)}_{secrets.token_urlsafe(32)}"
    tokens.bootstrap(opened, token)
    return token


def pages(opened: "Stores") -> None:
    """The site as a whole: assets, and the pages of every project there is."""
    from chalicelib.catalogue import publish
    from chalicelib.catalogue.registry_source import RegistrySource
    from chalicelib.registry import projects

    publish.publish_static(opened.site)
    source, render = RegistrySource(opened), publish.renderer()
    for record in projects.records(opened):
        publish.publish_all(source, opened.site, record.id, render)
