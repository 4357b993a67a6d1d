"""What commands ask of the registry, beyond what they print."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sdk.cli.fake_registry import FakeRegistry
from weighbridge import config
from weighbridge.cli import commands, exits
from weighbridge.contract import types
from weighbridge.contract.errors import Unauthenticated

CHANGING = [(c, e) for c in commands.COMMANDS if c.group == "change" for e in c.examples]


@pytest.mark.parametrize(("command", "example"), CHANGING, ids=[e for _, e in CHANGING])
def test_a_dry_run_changes_nothing(line, command, example):
    """With --dry-run each changing command only reads, and says what it would do (or why not)."""
    words = shlex.split(example)[1:]
    looks = command.name == "alias" and "--rm" not in words and "@" not in example
    code = line.run(*words, "--dry-run")
    assert line.client.calls == []
    if looks:  # there is nothing to be dry about
        assert code == 2
    elif code == 0:
        assert "would" in line.out or '"dry_run": true' in line.out
    else:
        assert line.err.startswith("weighbridge: error: ")


@pytest.mark.parametrize(
    ("example", "call"),
    [
        ("alias vision/digits@2 production --expected 1", ("move_alias", "vision", "digits", "production", 2, 1)),
        ("alias --rm vision/digits staging", ("remove_alias", "vision", "digits", "staging")),
        ("approve vision/digits@2 --reject --comment no", ("approve", "vision", "digits", 2, "rejected", "no")),
        ("tag vision/digits@2 a=1 --rm b", ("change_version", "vision", "digits", 2, {"a": "1", "b": ""})),
        ("tag vision/digits a=1", ("change_model", "vision", "digits", None, {"a": "1"}, None)),
        ("project set vision --inbox off", ("change_project", "vision", None, False, None)),
        ("rm vision/digits@production:best --yes", ("delete_checkpoint", "vision", "digits", 1, 3)),
        ("rm vision/digits@=wip --yes", ("delete_version", "vision", "digits", 4)),
        ("token create ci --days 0", ("create_token", "ci", (types.Scope(("read",)),), 0)),
        ("inbox grant vision --days 3", ("grant_inbox", "vision", 3)),
    ],
)  # fmt: skip
def test_a_command_asks_for_exactly_one_change(line, example, call):
    """Selectors are resolved to numbers before anything is deleted."""
    assert line.run(*shlex.split(example)) == 0, line.err
    assert line.client.calls == [call]


def test_a_token_for_a_model_reads_the_whole_project(line):
    """Reading has a scope of its own, because it covers projects."""
    words = "token create t --verb write --verb read --project vision --model dig*"
    assert line.run(*words.split()) == 0
    assert line.client.calls[0][2] == (
        types.Scope(("read",), "vision"),
        types.Scope(("write",), "vision", "dig*"),
    )


@pytest.mark.parametrize("words", ["--model dig*", "--verb write --alias prod*"])
def test_a_token_scope_that_means_nothing_is_refused(line, words):
    """A pattern that would be ignored is an error, not a wider token than was asked for."""
    assert line.run("token", "create", "t", *words.split()) == 2
    assert line.client.calls == []


def test_a_secret_is_alone_on_the_output(line):
    """`TOKEN=$(weighbridge token create …)` takes the secret and nothing else."""
    assert line.run("token", "create", "ci") == 0
    assert line.out == "wb_77aa00_verysecret\n"


def test_model_set_keeps_what_is_not_named(line):
    """Settings are merged with what the model has."""
    words = "model set vision/digits --direction f1=max --protect rel* --unprotect prod*"
    assert line.run(*words.split()) == 0
    settings = line.client.calls[0][5]
    assert settings == types.ModelSettings(
        "accuracy", {"accuracy": "max", "loss": "min", "f1": "max"}, ("rel*",)
    )


def test_a_card_comes_from_a_file_or_from_standard_input(line, folder):
    """`-` reads the standard input; what is not text is refused before anything changes."""
    assert line.run("model", "set", "vision/digits", "--card", "-", stdin="# Hi") == 0
    assert line.client.calls == [("set_card", "vision", "digits", "# Hi")]
    (folder / "bad.md").write_bytes(b"\xff")
    assert line.run("model", "set", "vision/digits", "--card", "bad.md") == 2
    assert line.run("model", "set", "vision/digits", "--card", "none.md") == 8
    assert len(line.client.calls) == 1


@pytest.mark.parametrize(
    ("answer", "deleted"),
    [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False)],
)
def test_deleting_asks_on_a_terminal(line, answer, deleted):
    """Only a clear yes deletes."""
    assert line.run("rm", "vision/digits@3", stdin=answer, terminal=True) == 0
    assert "Delete vision/digits@3 (ready, 1 file, 90.9 MB)? [y/N]" in line.err
    assert bool(line.client.calls) is deleted


def test_push_hands_over_everything_that_was_said(line):
    """Metrics, typed parameters, tags, label, parents and description reach the version."""
    code = line.run(
        "push", "vision/digits", "model.safetensors", "--metric", "accuracy=0.97", "--metric",
        "loss=nan", "--param", "lr=0.01", "--param", "sizes=[1,2]", "--param", "name=adam", "--tag",
        "a=b", "--label", "9.9", "--parent", "vision/digits@1", "--description", "Wide", "--json",
        "--alias", "canary", "--quiet",
    )  # fmt: skip
    assert code == 0, line.err
    answer = json.loads(line.out)
    assert answer.items() >= {
        "reference": "vision/digits@5", "version": 5, "sent_bytes": 7, "reused_bytes": 0,
        "seconds": 0.25, "files": 1, "dry_run": False, "aliases": ["canary"],
    }.items()  # fmt: skip
    version = line.client.version("vision", "digits", 5)
    assert version.params == {"lr": 0.01, "sizes": [1, 2], "name": "adam"}
    assert version.metrics["accuracy"] == 0.97
    assert version.tags == {"a": "b"}
    assert (version.label, version.parents) == ("9.9", ("vision/digits@1",))
    assert (version.description, version.aliases) == ("Wide", ("canary",))


def test_progress_goes_to_the_error_stream(line):
    """The output stays clean for programs, and --quiet shows nothing at all."""
    assert line.run("push", "vision/digits", "model.safetensors", "--dry-run", "--json") == 0
    assert json.loads(line.out)["dry_run"] is True
    assert line.err != ""
    line.run("push", "vision/digits", "model.safetensors", "--dry-run", "--json", "--quiet")
    assert line.err == ""


def _many(client, count):
    base = client.all_versions["vision", "digits"][1]
    client.all_versions["vision", "digits"] = {
        number: replace(base, number=number, label=f"r{number}") for number in range(1, count + 1)
    }


def test_a_list_asks_for_no_more_than_it_shows(line):
    """One item more than the limit tells whether there are more; --all takes full pages."""
    _many(line.client, 2500)
    assert line.run("ls", "vision/digits", "--limit", "20", "--json") == 0
    assert line.client.requests == [("versions", 21)]
    answer = json.loads(line.out)
    assert ([v["number"] for v in answer["items"]], answer["more"]) == (
        list(range(2500, 2480, -1)),
        True,
    )
    line.client.requests.clear()
    assert line.run("ls", "vision/digits", "--all", "--json") == 0
    assert len(json.loads(line.out)["items"]) == 2500
    assert line.client.requests == [("versions", 1000)] * 3


def test_a_limit_of_exactly_all_has_no_more(line):
    """The last item is not announced as one of many."""
    _many(line.client, 20)
    assert line.run("ls", "vision/digits", "--limit", "20", "--json") == 0
    assert json.loads(line.out)["more"] is False


def test_a_prefix_looks_through_all_pages(line):
    """What matches is found wherever it stands."""
    _many(line.client, 2500)
    assert line.run("ls", "vision/digits", "--prefix", "r17", "--limit", "200", "--json") == 0
    answer = json.loads(line.out)
    assert len(answer["items"]) == 111
    assert answer["more"] is False


def test_a_model_that_vanishes_while_it_is_listed_is_shown_without_versions(line, monkeypatch):
    """Listing a project does not fail because someone deletes a model meanwhile."""
    known = line.client.versions

    def versions(project, model, *rest, **named):
        if model == "draft":
            line.client.all_models.pop((project, model), None)
        return known(project, model, *rest, **named)

    monkeypatch.setattr(line.client, "versions", versions)
    assert line.run("ls", "vision") == 0
    assert "vision/draft" in line.out


def test_diff_compares_versions_in_the_order_given(line):
    """A reference without a version means the latest."""
    assert line.run("diff", "vision/digits", "vision/digits@=1.0.0") == 1
    assert line.client.requests == [("compare", "vision/digits@latest", "vision/digits@=1.0.0")]


def test_diff_takes_checkpoints_too(line):
    """Each side may be a version or a checkpoint; a reference without a version means the latest."""
    assert line.run("diff", "vision/digits:best=f1", "vision/digits@1:3", "vision/digits@2") == 1
    asked = ("vision/digits@latest:best=f1", "vision/digits@1:3", "vision/digits@2")
    assert line.client.requests == [("compare", *asked)]


def test_login_checks_then_stores(line, folder):
    """The token is tried first; the file is readable by its owner only; nothing prints the token."""
    ca = folder / "ca.pem"
    words = ("login", "HTTPS://Models.example.org/", "--token-stdin", "--ca-file", "ca.pem")
    assert line.run(*words, stdin="wb_1_secret\n") == 0
    assert line.asked == [("https://models.example.org", "wb_1_secret", "ca.pem")]
    stored = config.load()
    assert (stored.url, stored.token) == ("https://models.example.org", "wb_1_secret")
    assert stored.ca_file == str(ca)
    assert (folder / "home" / "config.json").stat().st_mode & 0o077 == 0
    assert "wb_1_secret" not in line.out + line.err


def test_login_with_a_wrong_token_stores_nothing(line, folder, monkeypatch):
    """A refused token leaves the configuration as it was."""
    monkeypatch.setattr(line.client, "whoami", _refuse)
    assert line.run("login", "https://models.example.org", "--token", "wb_1_wrong") == 3
    assert not (folder / "home").exists()
    assert "wb_1_wrong" not in line.err


def _refuse():
    raise Unauthenticated("this token is not known")


@pytest.mark.parametrize("stdin", ["", "\n"])
def test_login_without_a_token_is_refused(line, stdin):
    """Neither an empty input nor no terminal at all signs anybody in."""
    assert line.run("login", "https://models.example.org", "--token-stdin", stdin=stdin) == 2
    assert line.run("login", "https://models.example.org") == 2
    assert line.asked == []


def test_login_takes_the_token_from_the_environment_and_says_so(line, monkeypatch):
    """What is set goes before what is stored, which is worth a remark."""
    monkeypatch.setenv("WEIGHBRIDGE_TOKEN", "wb_2_fromenv")
    assert line.run("login", "https://models.example.org") == 0
    assert line.asked[0][1] == "wb_2_fromenv"
    assert "WEIGHBRIDGE_TOKEN is set" in line.err


def test_a_login_that_is_only_tried_stores_nothing(line, folder):
    """--dry-run checks the token and leaves the configuration alone."""
    assert line.run("login", "https://models.example.org", "--token", "t", "--dry-run") == 0
    assert line.out == "would sign in to https://models.example.org as ada\n"
    assert not (folder / "home").exists()


def test_logout_forgets_the_stored_server(line, monkeypatch):
    """It means what is stored, whatever the environment says; twice is no error."""
    config.save_server("https://a.example", "wb_a_x")
    config.save_server("https://b.example", "wb_b_x")
    monkeypatch.setenv("WEIGHBRIDGE_URL", "https://elsewhere.example")
    assert line.run("logout", "--dry-run") == 0
    assert line.out == "would forget https://b.example and its token\n"
    assert line.run("logout") == 0
    assert line.out == "forgot https://b.example and its token\n"
    monkeypatch.delenv("WEIGHBRIDGE_URL")
    assert config.load().url == "https://a.example"
    assert line.run("logout", "https://b.example") == 0
    assert line.out == "nothing is stored for https://b.example\n"


def test_open_uses_a_browser_if_asked(line, monkeypatch):
    """The one-time link, with the page to go on to, is what the browser gets."""
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or False)
    assert line.run("open", "vision", "--browser") == 0
    assert opened == [line.out.strip()]
    assert "open the link yourself" in line.err


def test_the_registry_is_closed(line, capsys):
    """Each command gives its connections back."""
    registries = []

    def connect(url, token, ca_file):
        registries.append(FakeRegistry(line.client))
        return registries[-1]

    from weighbridge.cli.main import main

    assert main(["ls"], connect=connect) == 0
    assert main(["show", "vision/none"], connect=connect) == 4
    assert [registry.closed for registry in registries] == [True, True]


def test_proxy_is_started_for_the_configured_server(line, monkeypatch):
    """Address, token and certificates come from the configuration."""
    asked = []
    monkeypatch.setattr("weighbridge.proxy.run", lambda *given: asked.append(given) or 0)
    config.save_server("https://models.example.org", "wb_1_x")
    assert line.run("proxy", "--listen", "127.0.0.1:9999") == 0
    assert asked == [("127.0.0.1:9999", "https://models.example.org", "wb_1_x", "")]


def test_serve_is_handed_over_with_its_arguments(line, monkeypatch):
    """The exit code is that of the server."""
    asked = []
    monkeypatch.setattr("weighbridge.cli.serve_command.run", lambda args: asked.append(args) or 3)
    assert line.run("serve", "--port", "0", "--data", "here") == 3
    assert (asked[0].port, asked[0].data) == ("0", "here")


def test_site_is_handed_over_with_absolute_paths(line, monkeypatch):
    """The exit code is that of the server's program; what is left out is left to it."""
    asked = []
    monkeypatch.setattr("weighbridge.cli.sites.run", lambda words: asked.append(words) or 1)
    assert line.run("site", "check", "--repair", "--json") == 1
    assert line.run("site", "build", "--out", "public", "--data", "/srv/data") == 1
    here = Path.cwd()
    assert asked == [
        ["check", "--repair", "--json"], ["build", f"--out={here}/public", "--data=/srv/data"],
    ]  # fmt: skip
    assert line.run("site", "build") == 2


def test_an_inbox_grant_can_be_evaluated_by_a_shell(line):
    """Every line is a comment or a quoted export."""
    assert line.run("inbox", "grant", "vision") == 0
    exports = [row for row in line.out.splitlines() if not row.startswith("#")]
    values = dict(shlex.split(row)[1].split("=", 1) for row in exports)
    assert all(shlex.split(row)[0] == "export" for row in exports)
    assert values["AWS_SECRET_ACCESS_KEY"] == "secret with spaces"
    assert values["AWS_ENDPOINT_URL_S3"] == "http://127.0.0.1:8333"


@pytest.mark.parametrize(
    "words", ["alias vision/digits@4 canary", "approve vision/digits@4", "tag vision/digits@4 a=b"]
)
def test_a_dry_run_meets_the_refusal_of_the_real_thing(line, words):
    """What is not published cannot be released, approved or tagged, in a dry run neither."""
    assert line.run(*words.split(), "--dry-run") == 5
    assert "vision/digits@4 is open, not ready" in line.err


def test_model_set_keeps_the_retention(line):
    """Changing how versions are judged does not change which checkpoints are kept."""
    assert line.run("retention", "set", "vision/digits", "--keep-last", "3") == 0
    assert line.run("model", "set", "vision/digits", "--protect", "live") == 0
    kept = line.client.all_models["vision", "digits"].settings.retention
    assert kept == types.Retention(keep_last=3)
    assert line.run("retention", "clear", "vision/digits") == 0
    settings = line.client.all_models["vision", "digits"].settings
    assert settings.retention == types.Retention()
    assert settings.main_metric == "accuracy"


def test_retention_is_shown_and_changed(line):
    """Each rule in words; a version's own before its model's; a dry run changes nothing."""
    ref = "vision/digits@1"
    assert line.run("retention", "show", ref) == 0
    assert "keeps every checkpoint (no retention)" in line.out
    rules = ["--keep-last", "2", "--keep-best", "loss=min:3", "--keep-best", "acc=max",
             "--keep-every", "100", "--max-age", "36h"]  # fmt: skip
    assert line.run("retention", "set", ref, *rules, "--dry-run") == 0
    assert "would keep" in line.out
    assert line.client.calls == []
    assert line.run("retention", "set", ref, *rules) == 0
    expected = types.Retention(
        2, (types.KeepBest("loss", "min", 3), types.KeepBest("acc", "max", 1)), 100, 36 * 3600
    )
    assert line.client.calls == [("set_retention", "vision", "digits", 1, expected)]
    for word in ("the last 2", "the 3 with the smallest loss", "100 divides", "younger than 36h"):
        assert word in line.out
    assert line.run("retention", "set", ref) == exits.USAGE
    assert line.run("retention", "set", "vision/digits", "--keep-all") == exits.USAGE
    assert line.run("retention", "show", f"{ref}:1") == exits.USAGE
    assert line.run("retention", "set", ref, "--max-age", "soon") == exits.USAGE


def test_pruning_asks_and_says_what_it_frees(line):
    """Nothing goes without --yes where nobody can be asked; a dry run asks nothing."""
    ref = "vision/digits@1"
    assert line.run("checkpoint", "prune", ref) == 0
    assert "every checkpoint is kept" in line.err
    line.run("retention", "set", ref, "--keep-last", "1")
    assert line.run("checkpoint", "prune", ref, "--dry-run") == 0
    assert "would be evicted: 2 checkpoints; would be free: 2 blobs" in line.out
    assert len(line.client.all_checkpoints["vision", "digits", 1]) == 3
    assert line.run("checkpoint", "prune", ref) == exits.USAGE
    assert line.run("checkpoint", "prune", ref, terminal=True, stdin="n\n") == 0
    assert len(line.client.all_checkpoints["vision", "digits", 1]) == 3
    assert line.run("checkpoint", "prune", ref, "--yes", "--json") == 0
    assert json.loads(line.out)["evicted"] == 2
    assert list(line.client.all_checkpoints["vision", "digits", 1]) == [3]
    assert line.run("checkpoint", "prune", "vision/digits") == exits.USAGE


def test_a_promotion_names_the_checkpoint_by_its_number(line):
    """`best` is looked up once; aliases are moved; a dry run makes nothing."""
    words = ["checkpoint", "promote", "vision/digits@1:best", "--alias", "staging"]
    assert line.run(*words, "--dry-run") == 0
    assert "would make vision/digits@1:3 the next version" in line.out
    assert line.client.calls == []
    assert line.run(*words, "--label", "9.0") == 0
    assert "vision/digits@1:3 is now vision/digits@5" in line.out
    assert [call[0] for call in line.client.calls] == ["commit_version", "move_alias"]
    assert line.run("checkpoint", "promote", "vision/digits@1") == exits.USAGE


def test_a_version_without_checkpoints_is_resumed_from_the_beginning(line):
    """That is an answer, not an error; for programs it is null."""
    assert line.run("checkpoint", "resume", "vision/digits@2") == 0
    assert "no checkpoint yet" in line.out
    assert line.run("checkpoint", "resume", "vision/digits@2", "--json") == 0
    assert json.loads(line.out) == {"resumed": None}
