"""The configuration: file, environment, options, and one sentence for everything that is wrong in it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import Result

from analytics.chain_rules import ChainRule
from analytics.evaluators import EvaluatorRule
from analytics.metrics import OutcomeRule
from spanverdict.config import ConfigError, load
from spanverdict.job_options import job_options
from tests.stores import address_of, store_at

PRICE = "[[prices]]\nmodel = 'm'\ninput_per_mtok = 1\noutput_per_mtok = 2\n"


def written(folder: Path, text: str | bytes) -> Path:
    """A configuration file with this content."""
    path = folder / "c.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_defaults_without_a_file(workdir: Path) -> None:
    """Without file and environment everything has a default."""
    config = load(None)
    assert not list(workdir.iterdir())
    assert (config.db, config.server.grpc, config.server.sql) == (
        Path("spanverdict.duckdb"),
        "127.0.0.1:4317",
        "127.0.0.1:4319",
    )
    assert (config.prices, config.report.alpha) == ((), 0.05)


def test_a_file_is_read_whole(workdir: Path) -> None:
    """Every section of a file arrives, with its types, and reaches the report's options."""
    config = load(written(workdir, PRICE + """
        effective_from = 2026-11-01T02:00:00+02:00
        [server]
        grpc = "[::1]:1"
        [feedback]
        key_attribute = "ticket.id"
        [evaluators.Groundedness]
        threshold = 0.7
        [metrics.latency_p99]
        margin = 0.5
        margin_kind = "relative"
        maturity_hours = 12
        [report]
        alpha = 0.1
        validation_evaluators = ["Schema"]
        [[chains.rules]]
        group_attribute = "app.step.id"
        [[chains.rules]]
        when_attribute = "app.attempt.reason"
        matches = "^repair"
        reason = "schema_repair"
    """))  # fmt: skip
    assert config.server.grpc == "[::1]:1"
    assert config.server.sql == "127.0.0.1:4319"
    options = job_options(config)
    assert options.feedback_key == "ticket.id"
    assert options.evaluator_rules["Groundedness"].threshold == 0.7
    assert options.overrides["latency_p99"].margin == 0.5
    assert options.overrides["latency_p99"].maturity.total_seconds() == 12 * 3600  # type: ignore[union-attr]
    assert (options.alpha, options.validation_evaluators) == (0.1, ("Schema",))
    assert options.chain_rules == (
        ChainRule(group_attribute="app.step.id"),
        ChainRule(when_attribute="app.attempt.reason", matches="^repair", reason="schema_repair"),
    )
    assert options.prices.own[0].effective_from == datetime(2026, 11, 1, tzinfo=UTC)


def test_the_default_file_is_that_of_the_working_directory(workdir: Path) -> None:
    """`spanverdict.toml` is found without being named, and another one replaces it whole."""
    (workdir / "spanverdict.toml").write_text("db = 'a.duckdb'\n[ingest]\nlinger_ms = 5")
    assert load(None).db == Path("a.duckdb")
    assert load(None).ingest.linger_ms == 5
    named = load(written(workdir, "db = 'b.duckdb'"))
    assert (named.db, named.ingest.linger_ms) == (Path("b.duckdb"), None)


def test_the_environment_overrides_single_keys(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable replaces its key and leaves the rest of the section to the file."""
    file = written(workdir, "db = 'a.duckdb'\n[server]\ngrpc = '127.0.0.1:1'\nsql = '127.0.0.1:2'")
    monkeypatch.setenv("SPANVERDICT_DB", "env.duckdb")
    monkeypatch.setenv("SPANVERDICT_SERVER__GRPC", "127.0.0.1:9")
    monkeypatch.setenv("SPANVERDICT_METRICS__LATENCY_P99__MARGIN", "0.3")
    config = load(file)
    assert (config.db, config.server.grpc, config.server.sql) == (Path("env.duckdb"), "127.0.0.1:9", "127.0.0.1:2")
    assert config.metrics["latency_p99"].margin == 0.3


@pytest.mark.any_store(slow=True)
def test_option_before_environment_before_file(
    workdir: Path, cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--db wins over SPANVERDICT_DB, which wins over the file."""
    names = ("option", "environment", "file")
    addresses = {name: address_of(workdir / f"{name}.duckdb") for name in names}
    for name, address in addresses.items():
        with store_at(address) as store:
            store.write({"key_attributes": pa.table({"key_attribute": [name]})})
    monkeypatch.delenv("SPANVERDICT_DB", raising=False)
    (workdir / "spanverdict.toml").write_text(f"db = '{addresses['file']}'")

    def asked(*options: str) -> str:
        return cli("sql", "SELECT key_attribute FROM matching_progress", "--format", "csv", *options).stdout.split()[-1]

    assert asked() == "file"
    monkeypatch.setenv("SPANVERDICT_DB", str(addresses["environment"]))
    assert asked() == "environment"
    assert asked("--db", str(addresses["option"])) == "option"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("grpc = 1", "c.toml: unknown key 'grpc'; known here are alerts, archive, chains, cohorts, content, costs,"),
        ("promotoins = 1\nreports = 2", "unknown key"),
        ("[sever]\ngrpc = 'a:1'", "c.toml: unknown key 'sever'; did you mean 'server'?"),
        ("[server]\ngrcp = 'a:1'", "c.toml: unknown key 'server.grcp'; did you mean 'grpc'?"),
        ("[metrics.latency_p99]\nmargn = 1", "unknown key 'metrics.latency_p99.margn'; did you mean 'margin'?"),
        ("[evaluators.G]\nthreshold = 1\nhigher = 'worse'", "unknown key 'evaluators.G.higher'; did you mean"),
        (PRICE + "output_per_mtk = 1", "unknown key 'prices.0.output_per_mtk'; did you mean 'output_per_mtok'?"),
        ("_env_prefix = 'X_'", "unknown key '_env_prefix'"),
        ("[server]\ngrpc = 4317", "c.toml: 'server.grpc' is 4317, but input should be a valid string."),
        ("[server]\ngrpc = 'localhost'", "'server.grpc' is 'localhost', but it is not host:port, such as"),
        ("[server]\nsql = '127.0.0.1:70000'", "'server.sql' is '127.0.0.1:70000', but it is not host:port"),
        ("[server]\nsql = '127.0.0.1:²'", "is not host:port"),
        ("[server]\nmemory_limit = 'much'", "'server.memory_limit' is 'much', but it is not a size, such as 512MB"),
        ("server = 5", "c.toml: 'server' is 5, but it should be a table."),
        ("prices = 5", "c.toml: 'prices' is 5, but it should be an array."),
        ("db = 5", "c.toml: 'db' is 5, but it should be a path, or ducklake:… for a shared store."),
        ("[[prices]]\nmodel = 'm'", "c.toml: 'prices.0' cannot be used: the price of model 'm' has no input_per_mtok;"),
        (PRICE.replace("= 1", "= -1"), "'prices.0.input_per_mtok' is -1, but input should be greater than or equal"),
        (PRICE.replace("= 1", "= inf"), "'prices.0.input_per_mtok' is inf, but input should be a finite number."),
        ("[evaluators.G]\nthreshold = nan", "'evaluators.G.threshold' is nan, but"),
        ("[evaluators.G]\nthreshold = 1\nhigher_is = 'good'", "'evaluators.G.higher_is' is 'good', but"),
        ("[metrics.error_rate]\nmargin = 0", "'metrics.error_rate.margin' is 0, but"),
        ("[report]\nalpha = 0.7", "'report.alpha' is 0.7, but input should be less than 0.5."),
        ("[ingest]\nwaiting_mib = 0", "'ingest.waiting_mib' is 0, but"),
        ("[[chains.rules]]\nequals = 'x'", "c.toml: 'chains.rules.0' is {'equals': 'x'}, but it names neither"),
        ("[[chains.rules]]\nwhen_attribute = 'a'", "but when_attribute and reason go together: give both or neither."),
        ("[[chains.rules]]\ngroup_attribute = 'a'\nmatches = 'x'", "but equals and matches tell a value of when_attr"),
        ("[[chains.rules]]\nwhen_attribute = 'a'\nreason = 'retry'\nequals = 'x'\nmatches = 'x'", "keep one of them."),
        ("[[chains.rules]]\nwhen_attribute = 'a'\nreason = 'again'", "'chains.rules.0.reason' is 'again', but"),
        ("[[chains.rules]]\nmatches = '(?=x)'", "regular expression that can be searched for: look-around,"),
        ("[[chains.rules]]\nmatches = '('", "'chains.rules.0.matches' is '(', but it is not a regular exp"),
        ("a = 1\nb = = 2", "c.toml is not TOML: Invalid value (at line 2, column 5)."),
        (b"db = '\xff'", "c.toml cannot be read: it is not UTF-8 text."),
        ("a = " + "[" * 5000, "it is nested too deeply."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(workdir: Path, text: str | bytes, sentence: str) -> None:
    """The sentence names the file, the key, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        load(written(workdir, text))
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(str(workdir / "c.toml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("SPANVERDICT_SERVER__GRCP", "a:1", " variable SPANVERDICT_SERVER__GRCP: unknown key 'server.grcp'; did"),
        ("SPANVERDICT_SEVER__GRPC", "a:1", " variable SPANVERDICT_SEVER__GRPC: unknown key 'sever'; did you mean"),
        ("SPANVERDICT_SERVER__GRPC", "a", " variable SPANVERDICT_SERVER__GRPC: 'server.grpc' is 'a', but it is not"),
        ("SPANVERDICT_REPORT__ALPHA", "x", " variable SPANVERDICT_REPORT__ALPHA: 'report.alpha' is 'x', but"),
        ("SPANVERDICT_PRICES", "cheap", ': error parsing value for field "prices"'),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    """What the environment does wrong is not blamed on the file."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        load(written(workdir, "db = 'a.duckdb'"))
    assert str(caught.value).startswith("The environment" + sentence)


def test_unreadable_files(workdir: Path) -> None:
    """A file that is not there, or is a folder, is named with the reason."""
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read: No such file"):
        load(workdir / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(workdir)


def test_two_prices_from_one_moment_are_refused(workdir: Path) -> None:
    """Two prices of a model that begin together cannot both hold."""
    with pytest.raises(ConfigError, match=r"^prices: Model 'm' has two prices from the same time"):
        job_options(load(written(workdir, PRICE + PRICE)))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sql", "SELECT 1", "--config", "c.toml"), "Error: c.toml: unknown key 'x'; known here are"),
        (("sql", "SELECT 1", "--config", "none.toml"), "Error: none.toml cannot be read: No such file or directory."),
        (("serve", "--config", "c.toml"), "Error: c.toml: unknown key 'x'"),
    ],
)
def test_configuration_errors_exit_with_2(
    command: Callable[..., subprocess.CompletedProcess[str]], workdir: Path, arguments: tuple[str, ...], said: str
) -> None:
    """Through the real command line: status 2, one line on standard error, nothing on standard output, no traceback."""
    written(workdir, "x = 1")
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1


def test_a_wrong_variable_exits_with_2(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Through the real command line, for the environment too."""
    done = command("promotion", "list", SPANVERDICT_SERVER__GRPC="nowhere")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


def test_outcomes_and_evaluators_reach_the_report(tmp_path: Path) -> None:
    """What is said of maturity, direction, version and judge is what the report works with."""
    path = tmp_path / "c.toml"
    path.write_text(
        '[outcomes.refunded]\nhigher_is = "worse"\nmaturity_hours = 36\n'
        '[evaluators.Groundedness]\nthreshold = 3\nversion = "2"\njudge_model = "j"\nmaturity = "fixed"\n'
        '[evaluators.Tone]\nmaturity_hours = 2\nmaturity = "learned"\n'
    )
    options = job_options(load(path))
    assert options.outcomes == {"refunded": OutcomeRule("worse", timedelta(hours=36), None)}
    assert options.evaluator_rules == {
        "Groundedness": EvaluatorRule(3, None, "2", "j", None, learn=False),
        "Tone": EvaluatorRule(maturity=timedelta(hours=2), learn=True),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[outcomes.csat]\nhigher_is = "worse"\n[evaluators.CSAT]\nthreshold = 1\n',
            "'CSAT' is configured as an",
        ),
        ("[outcomes.csat]\nmaturity_hours = 1e9\n", "'outcomes.csat.maturity_hours' is 1000000000.0, but"),
        ('[outcomes.csat]\nmaturity = "guessed"\n', "'outcomes.csat.maturity' is 'guessed', but"),
        ("[outcomes.csat]\nmaturity_hour = 1\n", "did you mean 'maturity_hours'"),
    ],
)
def test_outcomes_that_cannot_be(tmp_path: Path, text: str, said: str) -> None:
    """A name that is both, a window beyond all sense and a misspelt key are told in one sentence."""
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(said)):
        job_options(load(path))


@pytest.mark.parametrize("origin", ["*", "https://*.example", "shop.example", "https://shop.example/", "null"])
def test_what_is_no_origin_of_pages(workdir: Path, origin: str) -> None:
    """Origins are named one by one, without a path."""
    (workdir / "c.toml").write_text(f'[server]\ncors_origins = ["{origin}"]\n')
    with pytest.raises(ConfigError, match=r"it is not the origin of pages, such as https://shop\.example"):
        load(workdir / "c.toml")
