"""One machine serves another: TLS, tokens, and the store on its own port."""

import json
import subprocess
import sys

import pytest

from tests.e2e.embedded import netns, serving
from tests.e2e.embedded.certificates import authority

pytestmark = pytest.mark.real

CLIENT = """
import http.client, json, ssl, sys
host, port, ca, asked = sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
context = ssl.create_default_context(cafile=ca) if ca else ssl.create_default_context()
answers = []
for method, path, headers, body in asked:
    connection = http.client.HTTPSConnection(host, port, timeout=10, context=context)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answers.append([answer.status, answer.read().decode("utf-8", "replace")])
    except OSError as error:
        answers.append([0, type(error).__name__])
    finally:
        connection.close()
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def network():
    with netns.network() as network:
        yield network


@pytest.fixture(scope="module")
def issued(network, tmp_path_factory):
    return authority(tmp_path_factory.mktemp("ca")).issue(network.host)


@pytest.fixture(scope="module")
def served(network, issued, tmp_path_factory):
    data = tmp_path_factory.mktemp("network") / "data"
    words = [f"--host={network.host}", f"--tls-cert={issued.certificate}"]
    words += [f"--tls-key={issued.key}", f"--ca-file={issued.authority}"]
    with serving.serve(data, *words) as served:
        yield served


def from_there(network, served, issued, *asked, ca=True):
    """What requests from the other network are answered."""
    words = [network.host, str(served.port), str(issued.authority) if ca else "", json.dumps(asked)]
    done = subprocess.run(
        [*network.inside, sys.executable, "-c", CLIENT, *words],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_other_network_reaches_the_server_over_tls_with_a_token(network, served, issued):
    """Health is open, the API wants the token."""
    token = {"Authorization": f"Bearer {served.token}"}
    health, nobody, admin = from_there(
        network,
        served,
        issued,
        ["GET", "/api/health", {}, None],
        ["GET", "/api/whoami", {}, None],
        ["GET", "/api/whoami", token, None],
    )
    assert served.url == f"https://{network.host}:{served.port}"
    assert (health[0], nobody[0], admin[0]) == (200, 401, 200)


def test_clients_that_do_not_know_the_authority_do_not_connect(network, served, issued):
    """The certificate is really checked."""
    answers = from_there(network, served, issued, ["GET", "/api/health", {}, None], ca=False)
    assert answers == [[0, "SSLCertVerificationError"]]


def test_a_foreign_host_or_origin_gets_nothing(network, served, issued):
    """The same refusals hold on the network."""
    token = {"Authorization": f"Bearer {served.token}", "Content-Type": "application/json"}
    body = json.dumps({"name": "foreign"})
    answers = from_there(
        network,
        served,
        issued,
        ["GET", "/api/health", {"Host": "evil.example"}, None],
        ["POST", "/api/projects", token | {"Host": "evil.example"}, body],
        ["POST", "/api/projects", token | {"Origin": "https://evil.example"}, body],
        ["POST", "/api/projects", token | {"Sec-Fetch-Site": "cross-site"}, body],
        ["GET", "/api/projects/foreign", token, None],
    )
    assert [status for status, _ in answers] == [421, 421, 403, 403, 404]


def test_sign_in_cookies_are_secure_there(network, served, issued):
    """Over TLS the cookie has the name that browsers protect."""
    path = served.ticket.removeprefix(served.url)
    code = CLIENT.replace("answer.read()", "str(answer.getheader('Set-Cookie')).encode()")
    words = [network.host, str(served.port), str(issued.authority)]
    asked = json.dumps([["GET", path, {}, None]])
    done = subprocess.run(
        [*network.inside, sys.executable, "-c", code, *words, asked],
        capture_output=True,
        text=True,
        timeout=60,
    )
    [[status, cookie]] = json.loads(done.stdout)
    assert status == 303
    assert cookie.startswith("__Host-weighbridge=")
    assert "; Secure" in cookie


def test_a_client_there_pushes_and_pulls(network, served, issued, tmp_path):
    """Bytes go straight to the store and back, over TLS, by the addresses the server signs."""
    source = tmp_path / "weights.bin"
    source.write_bytes(bytes(range(256)) * 40_000)
    env = served.env | {"WEIGHBRIDGE_CA_FILE": str(issued.authority)}
    there = {"prefix": network.inside, "cwd": tmp_path}
    pushed = serving.run(env, "push", "net/model", str(source), "--json", **there)
    assert json.loads(pushed)["sent_bytes"] >= source.stat().st_size
    serving.run(env, "pull", "net/model@1", "--to", str(tmp_path / "back"), **there)
    [pulled] = list((tmp_path / "back").rglob("weights.bin"))
    assert pulled.read_bytes() == source.read_bytes()


def test_the_rest_of_the_stack_is_not_reachable_from_there(network, served):
    """Only the API's port and S3's listen on the network."""
    code = (
        "import socket, sys\n"
        "for port in map(int, sys.argv[2:]):\n"
        "    with socket.socket() as probe:\n"
        "        probe.settimeout(3)\n"
        "        print(port, probe.connect_ex((sys.argv[1], port)))\n"
    )
    ports = json.loads((served.data / "objects" / "conf" / "ports.json").read_text())
    numbers = [str(port) for port in ports.values()]
    done = subprocess.run(
        [*network.inside, sys.executable, "-c", code, network.host, *numbers],
        capture_output=True,
        text=True,
        timeout=60,
    )
    reached = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" 0")}
    assert reached == {str(ports["public"]), str(ports["public_grpc"])}


def test_it_stops_in_time(served):
    """Stopping takes no longer with TLS and a second gateway."""
    assert served.stop() < serving.STOP_SECONDS
