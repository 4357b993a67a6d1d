"""A deployed stack, as CloudFormation describes it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boto3.session import Session


class Failed(Exception):
    """The stack did not come up, or did not go; the message names the resources that failed."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployed stack: its outputs and parameters (hidden ones without their values), and whether this
    deployment made it."""

    name: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]
    new: bool = False

    @property
    def url(self) -> str:
        """Where browsers and clients reach the registry; without a CDN, where its API answers."""
        if domain := self.parameters.get("Domain"):
            return f"https://{domain}"
        known = self.parameters.get("PublicUrl") or self.outputs.get("CdnUrl")
        return (known or self.outputs["EndpointURL"]).rstrip("/")

    @property
    def url_is_unknown(self) -> bool:
        """Whether the functions still have to be told the address of the distribution."""
        told = self.parameters.get("Domain") or self.parameters.get("PublicUrl")
        return "CdnUrl" in self.outputs and not told

    def made_new(self, new: bool) -> "Stack":
        """The same, made by this deployment or not."""
        return replace(self, new=new)


def described(session: "Session", name: str, *, new: bool = False) -> Stack | None:
    """The stack of this name; None if there is none."""
    client: Any = session.client("cloudformation")
    try:
        found = client.describe_stacks(StackName=name)["Stacks"][0]
    except client.exceptions.ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    finally:
        client.close()
    outputs = {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])}
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in found.get("Parameters", [])}
    return Stack(name, outputs, parameters, new)


def resource(session: "Session", stack: Stack, name: str) -> str:
    """The physical name of a resource of the stack."""
    client: Any = session.client("cloudformation")
    found = client.describe_stack_resource(StackName=stack.name, LogicalResourceId=name)
    client.close()
    physical: str = found["StackResourceDetail"]["PhysicalResourceId"]
    return physical
