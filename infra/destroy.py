"""Deletes a stack, and what it holds only where that is wanted twice.

    python -m infra.destroy --stage dev
    python -m infra.destroy --stage prod --with-data

Without `--with-data` a registry that has a project or an object is left as it is, and told of. With it the
stack's name must be typed (or given as `--confirm NAME`), and then everything goes: stack, table, buckets.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra import preparing, stacks
from infra.stacks import Failed, Stack
from infra.template import FUNCTIONS

if TYPE_CHECKING:
    from boto3.session import Session

SHOWN = 20
COUNTED = 100_000
"""Objects and versions beyond this are not counted one by one."""
ATTEMPTS = 3
_WAIT = {"Delay": 2, "MaxAttempts": 1800}


@dataclass(frozen=True, slots=True)
class Contents:
    """What would be lost."""

    projects: dict[str, int]
    """Versions by project."""
    objects: int

    def __bool__(self) -> bool:
        return bool(self.projects or self.objects)

    def told(self) -> str:
        """One line for each of the first projects, and what there is in all."""
        lines = [
            f"  {name}: {_counted(versions)} versions"
            for name, versions in list(self.projects.items())[:SHOWN]
        ]
        if len(self.projects) > SHOWN:
            lines.append(f"  and {len(self.projects) - SHOWN:,} more projects")
        return "\n".join([*lines, f"  {_counted(self.objects)} objects in the artifact bucket"])


def _counted(number: int) -> str:
    return f"{number:,}" if number < COUNTED else f"{COUNTED:,} or more"


def contents(session: "Session", stack: Stack) -> Contents:
    """What the table and the artifact bucket of a stack hold."""
    from chalicelib.catalogue.registry_source import RegistrySource
    from chalicelib.registry import projects

    found: dict[str, int] = {}
    with preparing.stores(session, stack, {}) as opened:
        source = RegistrySource(opened)
        left = COUNTED
        for record in projects.records(opened):
            versions = 0
            for model in source.models(record.id):
                if versions >= left:
                    break
                versions += len(source.newest(record.id, model, left - versions))
            found[record.project.name] = versions
            left = max(0, left - versions)
    s3: Any = session.client("s3")
    objects = sum(len(page) for page in _objects(s3, stack.outputs["Artifacts"], COUNTED))
    s3.close()
    return Contents(found, objects)


def _objects(s3: Any, bucket: str, limit: int | None = None) -> Iterator[list[str]]:
    """The keys of a bucket, in pages."""
    seen = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [found["Key"] for found in page.get("Contents", [])]
        yield keys
        seen += len(keys)
        if limit is not None and seen >= limit:
            return


def destroy(session: "Session", stack: Stack) -> None:
    """Stops the functions, empties the buckets, deletes the stack and what it would have kept."""
    kept = [stack.outputs["Artifacts"], stack.outputs["Site"]]
    _stop(session, stack)
    _unprotect(session, stack.outputs["Table"])
    client: Any = session.client("cloudformation")
    for attempt in range(1, ATTEMPTS + 1):
        for bucket in kept:
            _empty(session, bucket)
        try:
            client.delete_stack(StackName=stack.name)
            _gone(client, stack.name)
            break
        except Failed:
            # A bucket that somebody wrote to meanwhile, with an address signed before, is not empty.
            if attempt == ATTEMPTS:
                raise
    client.close()
    for bucket in kept:
        _delete_bucket(session, bucket)
    _delete_table(session, stack.outputs["Table"])


def _stop(session: "Session", stack: Stack) -> None:
    """Lets no function run any more: what is deleted must not be written again."""
    client: Any = session.client("lambda")
    for name in FUNCTIONS:
        function = stacks.resource(session, stack, name)
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    client.close()


def _unprotect(session: "Session", table: str) -> None:
    client: Any = session.client("dynamodb")
    found = client.describe_table(TableName=table)["Table"]
    if found.get("DeletionProtectionEnabled"):
        client.update_table(TableName=table, DeletionProtectionEnabled=False)
    client.close()


def _empty(session: "Session", bucket: str) -> None:
    s3: Any = session.client("s3")
    try:
        for keys in _objects(s3, bucket):
            if keys:
                quiet = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
                failed = s3.delete_objects(Bucket=bucket, Delete=quiet).get("Errors", [])
                if failed:
                    raise Failed(f"{bucket}: {failed[0]['Key']}: {failed[0].get('Message', '')}")
        for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
            for upload in page.get("Uploads", []):
                s3.abort_multipart_upload(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
    except s3.exceptions.NoSuchBucket:
        pass  # an earlier attempt got so far
    finally:
        s3.close()


def _gone(client: Any, name: str) -> None:
    from botocore.exceptions import WaiterError

    try:
        client.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=_WAIT)
    except WaiterError as error:
        events = client.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [
            f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason', '')}"
            for e in events
            if e["ResourceStatus"] == "DELETE_FAILED"
        ]
        raise Failed("\n".join(reasons) or str(error)) from error


def _delete_bucket(session: "Session", bucket: str) -> None:
    """Deletes a bucket that the stack kept."""
    _empty(session, bucket)
    s3: Any = session.client("s3")
    _unless_gone(lambda: s3.delete_bucket(Bucket=bucket), "NoSuchBucket")
    s3.close()


def _delete_table(session: "Session", table: str) -> None:
    client: Any = session.client("dynamodb")
    _unless_gone(lambda: client.delete_table(TableName=table), "ResourceNotFoundException")
    client.close()


def _unless_gone(delete: Callable[[], Any], absent: str) -> None:
    from botocore.exceptions import ClientError

    try:
        delete()
    except ClientError as error:
        if error.response["Error"]["Code"] != absent:
            raise


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    about, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m infra.destroy", description=about, epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--stage", default="dev", help="of .chalice/config.json")
    parser.add_argument("--stack", help="the stack's name (weighbridge-STAGE)")
    parser.add_argument("--with-data", action="store_true", help="delete what it holds as well")
    parser.add_argument("--confirm", metavar="NAME", help="the stack's name, instead of typing it")
    return parser.parse_args(arguments)


def _confirmed(options: argparse.Namespace, name: str) -> bool:
    if options.confirm is not None:
        return bool(options.confirm == name)
    print("Nothing of this can be brought back. Type the stack's name to delete it: ", end="")
    sys.stdout.flush()
    return sys.stdin.readline().strip() == name


def main() -> None:
    """Reads the command line, looks, asks where that is due, and deletes."""
    import boto3.session
    from botocore.exceptions import BotoCoreError, ClientError

    from weighbridge.contract.errors import RegistryError

    options = options_of()
    name = options.stack or f"weighbridge-{options.stage}"
    session = boto3.session.Session()
    if not session.region_name:
        sys.exit("no region is set; set AWS_DEFAULT_REGION")
    try:
        stack = stacks.described(session, name)
        if stack is None:
            sys.exit(f"there is no stack {name} in {session.region_name}")
        held = contents(session, stack)
        if held:
            print(f"{name} holds:\n{held.told()}", flush=True)
            if not options.with_data:
                sys.exit(f"{name} was left as it is; --with-data deletes it with all this")
            if not _confirmed(options, name):
                sys.exit(f"{name} was left as it is: that was not its name")
        destroy(session, stack)
    except (Failed, BotoCoreError, ClientError, RegistryError) as error:
        sys.exit(f"{name} was not deleted, or not wholly:\n{error}")
    print(f"{name} is deleted.")
    if endpoint := stack.parameters.get("S3Endpoint"):
        print(f"Objects in the store at {endpoint} are still there.")


if __name__ == "__main__":
    main()
