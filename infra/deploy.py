"""Packages the app and deploys it as one CloudFormation stack.

    python -m infra.deploy --stage dev --parameter Domain=models.example.org \\
        --parameter CertificateArn=arn:aws:acm:us-east-1:…

Credentials and region are those of the AWS tools. A first deployment makes the administrator's
token and prints it once; the next ones keep data, token and secrets. `--package DIR` only packages.
"""

import argparse
import contextlib
import hashlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra import bundle, preparing
from infra.stacks import Failed, Stack, described
from infra.template import template

if TYPE_CHECKING:
    from boto3.session import Session

CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND")
_WAIT = {"Delay": 2, "MaxAttempts": 900}


def package(stage: str, out: Path) -> Path:
    """Makes `sam.json`, `deployment.zip` and `archive.zip` in `out`, from a project built there; answers `out`."""
    project = bundle.build(out / "project")
    resources = project / f"resources-{stage}.json"
    resources.write_text(json.dumps(template(stage), indent=2), encoding="utf-8")
    # Chalice imports the app, and needs a region for that but neither credentials nor a network.
    env = {**os.environ, "AWS_DEFAULT_REGION": os.environ.get("AWS_DEFAULT_REGION", "us-east-1")}
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from chalice.cli import main; main()"),
            *("--project-dir", str(project), "package", "--stage", stage),
            *("--merge-template", str(resources), str(out.absolute())),
        ],
        env=env, cwd=bundle.ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise Failed(f"chalice package failed:\n{done.stdout}{done.stderr}")
    own = bundle.archive_zip(out / "deployment.zip", out / "archive.zip")
    document = json.loads((out / "sam.json").read_text(encoding="utf-8"))
    document["Resources"]["Archive"]["Properties"]["CodeUri"] = f"./{own.name}"
    (out / "sam.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
    return out


def deploy(session: "Session", packaged: Path, name: str, parameters: Mapping[str, str]) -> Stack:
    """Creates or updates the stack `name`; parameters that are not given keep their values."""
    url, known = _upload(session, packaged)
    client: Any = session.client("cloudformation")
    before = described(session, name)
    asked: dict[str, Any] = {"StackName": name, "TemplateURL": url, "Capabilities": CAPABILITIES}
    if before is None:
        given = {"Secret": secrets.token_urlsafe(48), **parameters}
        made = client.create_stack(**asked, Parameters=_pairs(given), OnFailure="DELETE")
        # By its id: a stack that failed is deleted, and then its name tells nothing any more.
        _wait(client, made["StackId"], "stack_create_complete")
    else:
        # A parameter that this template does not have any more is not kept.
        kept = [
            {"ParameterKey": k, "UsePreviousValue": True}
            for k in before.parameters
            if k in known and k not in parameters
        ]
        try:
            client.update_stack(**asked, Parameters=[*_pairs(parameters), *kept])
        except client.exceptions.ClientError as error:
            if "No updates" not in str(error):
                raise
        else:
            _wait(client, name, "stack_update_complete")
    found = described(session, name, new=before is None)
    assert found is not None
    return found


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()]


def _wait(client: Any, name: str, state: str) -> None:
    from botocore.exceptions import WaiterError

    try:
        client.get_waiter(state).wait(StackName=name, WaiterConfig=_WAIT)
    except WaiterError as error:
        events = client.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [
            f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason', '')}"
            for e in reversed(events)
            if e["ResourceStatus"].endswith("_FAILED")
        ]
        raise Failed("\n".join(reasons) or str(error)) from error


def _upload(session: "Session", packaged: Path) -> tuple[str, set[str]]:
    """Stores code and template under names made of their digests; answers the template's address, and
    what its parameters are called."""
    s3: Any = session.client("s3")
    account = session.client("sts").get_caller_identity()["Account"]
    bucket = f"weighbridge-code-{account}-{session.region_name}"
    place = {"LocationConstraint": session.region_name}
    more = {} if session.region_name == "us-east-1" else {"CreateBucketConfiguration": place}
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket, **more)
    codes = {
        file.name: _store(s3, bucket, file.read_bytes(), "zip") for file in packaged.glob("*.zip")
    }
    document = json.loads((packaged / "sam.json").read_text(encoding="utf-8"))
    for resource in document["Resources"].values():
        if "CodeUri" in resource.get("Properties", {}):
            resource["Properties"]["CodeUri"] = {
                "Bucket": bucket,
                "Key": codes[Path(str(resource["Properties"]["CodeUri"])).name],
            }
    key = _store(s3, bucket, json.dumps(document).encode(), "json")
    host = f"{s3.meta.endpoint_url}/{bucket}"
    if host.startswith("https://s3."):
        host = f"https://{bucket}.{s3.meta.endpoint_url.removeprefix('https://')}"
    return f"{host}/{key}", set(document.get("Parameters", {}))


def _store(s3: Any, bucket: str, data: bytes, suffix: str) -> str:
    key = f"{hashlib.sha256(data).hexdigest()}.{suffix}"
    s3.put_object(Bucket=bucket, Key=key, Body=data)
    return key


def run(
    session: "Session", packaged: Path, name: str, parameters: Mapping[str, str],
    *, admin_token: bool = False, render: bool = False,
) -> tuple[Stack, str]:  # fmt: skip
    """A whole deployment; answers the stack and the administrator's token, if one was made. On a stack
    that serves people already, what pages and cookies need is there before the functions change."""
    before = described(session, name)
    if before is not None:
        preparing.before_update(session, before, parameters)
    stack = deploy(session, packaged, name, parameters)
    if stack.url_is_unknown:
        # The functions cannot name the distribution in the template: it stands in front of them.
        told = {**parameters, "PublicUrl": stack.outputs["CdnUrl"]}
        stack = deploy(session, packaged, name, told).made_new(stack.new)
    preparing.edge_keys_of(session, stack, parameters)
    if not (stack.new or admin_token or render):
        return stack, ""
    with preparing.stores(session, stack, parameters) as opened:
        token = preparing.administrator(opened) if stack.new or admin_token else ""
        if stack.new or render:
            preparing.pages(opened)
    return stack, token


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    about, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m infra.deploy", description=about, epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--stage", default="dev", help="of .chalice/config.json")
    parser.add_argument("--stack", help="the stack's name (weighbridge-STAGE)")
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--parameters", type=Path, metavar="FILE", help="the same, as a JSON object"
    )
    parser.add_argument("--admin-token", action="store_true", help="make another one")
    parser.add_argument("--render", action="store_true", help="make every page anew")
    parser.add_argument("--package", type=Path, metavar="DIR", help="only package, into DIR")
    parser.add_argument("--packaged", type=Path, metavar="DIR", help="deploy what lies in DIR")
    parser.add_argument("--json", action="store_true", help="print outputs and token as JSON")
    return parser.parse_args(arguments)


def main() -> None:
    """Reads the command line, deploys, and says where the registry is."""
    import boto3.session
    from botocore.exceptions import BotoCoreError, ClientError

    options = options_of()
    if options.package:
        print(package(options.stage, options.package))
        return
    session = boto3.session.Session()
    if not session.region_name:
        sys.exit("no region is set; set AWS_DEFAULT_REGION")
    parameters = json.loads(options.parameters.read_text()) if options.parameters else {}
    parameters |= dict(pair.split("=", 1) for pair in options.parameter)
    made = bundle.ROOT / "build" / f"package-{options.stage}"
    name = options.stack or f"weighbridge-{options.stage}"
    try:
        packaged = options.packaged or package(options.stage, made)
        stack, token = run(
            session, packaged, name, parameters,
            admin_token=options.admin_token, render=options.render,
        )  # fmt: skip
    except (Failed, BotoCoreError, ClientError) as error:
        sys.exit(f"the deployment failed:\n{error}")
    if options.json:
        print(json.dumps({"url": stack.url, "token": token, "outputs": dict(stack.outputs)}))
        return
    print(f"The registry answers at {stack.url}")
    if token:
        print(f"The administrator's token, shown this once: {token}")


if __name__ == "__main__":
    main()
