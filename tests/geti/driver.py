"""What the tests do with a source; runs in the environment of geti-sdk, where our package is on the path."""

import hashlib
import io
import json
import sys
from dataclasses import asdict

from weighbridge.contract import geti, geti_access
from weighbridge.contract.errors import RegistryError
from weighbridge.geti import packages


def told(source, ask):
    """All that a source says, as JSON: projects, one of them, its packages; or the error."""
    try:
        found = source.list_projects()
        answer = {
            "projects": [asdict(one) for one in found],
            "again": [asdict(source.get_project(one.id)) for one in found],
            "records": [geti.described(one) for project in found for one in project.found()],
            "packages": [],
        }
        for one in (one for project in found for one in project.found()):
            target = io.BytesIO()
            source.fetch_package(one, target)
            digest = hashlib.sha256(target.getvalue()).hexdigest()
            answer["packages"].append([digest, packages.check(target).content])
        for identifier in ask:
            source.get_project(identifier)
        return answer
    except RegistryError as error:
        return {"error": type(error).__name__}
    finally:
        source.close()


if __name__ == "__main__":
    from weighbridge.geti.sdk import SdkSource

    asked = json.load(sys.stdin)
    try:
        made = SdkSource(geti_access.read(asked["env"]))
    except RegistryError as error:
        print(json.dumps({"error": type(error).__name__, "message": error.message}))
    else:
        print(json.dumps(told(made, asked["ask"])))
