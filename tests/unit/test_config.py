"""The pipeline file: what it means, who is believed, and one clear sentence for each mistake."""

import contextlib
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from tailrace.cli import app
from tailrace.config import Pipeline, load, load_with_origins
from tailrace.exits import USAGE, Problem
from tailrace.settings import schema
from tailrace.values import redact, size

GOOD = """\
pipeline: shop
source:
  dsn: postgresql://me:s3cr3t@db:5432/shop
  tables: [public.customers, "public.Odd Name"]
  placeholder: unchanged-0123456789abcdef
sinks:
  warehouse:
    type: postgres
    dsn: host=dw user=me password='s cr3t'
"""

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(GOOD)
    return path


def read(path: Path, text: str | None = None, **env: str) -> Pipeline:
    if text is not None:
        path.write_text(text)
    return load(path, env={f"TAILRACE__{name}": value for name, value in env.items()})


def problem(path: Path, text: str | None = None, **env: str) -> str:
    with pytest.raises(Problem) as caught:
        read(path, text, **env)
    assert caught.value.exit_code == USAGE
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "cr3t" not in sentence
    return sentence


class TestMeaning:
    def test_defaults_fill_what_is_not_said(self, file: Path) -> None:
        pipeline = read(file)
        assert pipeline.name == "shop"
        assert pipeline.source.tables == ("public.customers", "public.Odd Name")
        assert pipeline.kafka.bootstrap == "127.0.0.1:9092"
        assert pipeline.sinks["warehouse"].batch.max_bytes == 8 * 1024 * 1024

    def test_a_sink_without_tables_takes_all_of_the_source(self, file: Path) -> None:
        pipeline = read(file)
        assert pipeline.sinks["warehouse"].tables == pipeline.source.tables

    def test_values_are_frozen(self, file: Path) -> None:
        with pytest.raises(AttributeError):
            read(file).log.level = "debug"  # type: ignore[misc]

    def test_an_empty_section_is_all_defaults(self, file: Path) -> None:
        assert read(file, GOOD + "redis:\nlog: {}\nhealth: {port: }\n") == read(file, GOOD)

    def test_scalars_mean_what_the_schema_says_and_not_what_yaml_guesses(self, file: Path) -> None:
        said = read(file, GOOD + "kafka: {bootstrap: 10:20}\nhealth: {host: no, port: 80}\n")
        assert (said.kafka.bootstrap, said.health.host, said.health.port) == ("10:20", "no", 80)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("8MiB", 8 << 20), ("512 kib", 512 << 10), ("7", 7), ("1GiB", 1 << 30), ("9B", 9)],
    )
    def test_sizes(self, file: Path, text: str, expected: int) -> None:
        assert size(text) == expected
        sink = read(file, SINKS__WAREHOUSE__BATCH__MAX_BYTES=text).sinks["warehouse"]
        assert sink.batch.max_bytes == expected

    def test_lists_have_commas_in_the_environment(self, file: Path) -> None:
        pipeline = read(file, SOURCE__TABLES="public.a, public.b c")
        assert pipeline.source.tables == ("public.a", "public.b c")


class TestPrecedence:
    KEY = "sinks.warehouse.dsn"
    LAYERS = ("flag", "environment", "secret file", "yaml")

    @in_one_folder
    @given(said=st.sets(st.sampled_from(LAYERS), min_size=1))
    def test_the_first_layer_that_says_it_wins(self, file: Path, said: set[str]) -> None:
        text = GOOD.replace("    dsn: host=dw user=me password='s cr3t'\n", "")
        (file.parent / "dsn").write_text("host=secret_file\n")
        text += "    dsn: host=yaml\n" if "yaml" in said else ""
        text += "    dsn_file: dsn\n" if "secret file" in said else ""
        file.write_text(text)
        env = {"TAILRACE__SINKS__WAREHOUSE__DSN": "host=environment"}
        pipeline, origins = load_with_origins(
            file,
            {self.KEY: "host=flag"} if "flag" in said else {},
            env if "environment" in said else {},
        )
        winner = next(layer for layer in self.LAYERS if layer in said)
        assert pipeline.sinks["warehouse"].dsn == f"host={winner.replace(' ', '_')}"
        assert origins[self.KEY].startswith(winner if winner != "yaml" else str(file))

    @in_one_folder
    @given(
        flag=st.none() | st.integers(1, 9),
        env=st.none() | st.integers(11, 19),
        yaml=st.none() | st.integers(21, 29),
    )
    def test_and_so_for_a_number(
        self, file: Path, flag: int | None, env: int | None, yaml: int | None
    ) -> None:
        file.write_text(GOOD + ("" if yaml is None else f"    workers: {yaml}\n"))
        pipeline, origins = load_with_origins(
            file,
            {} if flag is None else {"sinks.warehouse.workers": flag},
            {} if env is None else {"TAILRACE__SINKS__WAREHOUSE__WORKERS": str(env)},
        )
        expected = next((said for said in (flag, env, yaml) if said is not None), 1)
        assert pipeline.sinks["warehouse"].workers == expected
        assert (origins["sinks.warehouse.workers"] == "default") == (expected == 1 and flag is None)

    def test_a_secret_file_that_the_environment_names_beats_the_one_in_the_file(
        self, file: Path
    ) -> None:
        (file.parent / "other").write_text("redis://:pw@other/1")
        pipeline = read(file, GOOD + "redis: {url_file: missing}\n", REDIS__URL_FILE="other")
        assert pipeline.redis.url == "redis://:pw@other/1"

    def test_a_broken_loser_does_not_matter(self, file: Path) -> None:
        assert read(file, GOOD + "redis: {url_file: missing}\n", REDIS__URL="redis://x").redis


class TestMistakes:
    @pytest.mark.parametrize(
        ("extra", "sentence"),
        [
            ("snks: {}\n", "line 10: unknown key snks; did you mean sinks? [TR-CFG-003]"),
            ("log: {lvl: info}\n", "unknown key log.lvl; did you mean level? [TR-CFG-003]"),
            (
                "log: {zzz: 1}\n",
                "unknown key log.zzz; known are format, level, traces. [TR-CFG-003]",
            ),
            ("kafka: {1: 2}\n", "unknown key kafka.1; known are bootstrap, tls, tls_ca, "),
            ("    wrkers: 1\n", "unknown key sinks.warehouse.wrkers; did you mean workers?"),
            ("log: {level: loud}\n", "log.level must be debug, info, warning or error, but"),
            ("log: [1]\n", "log must be a section with keys of its own, but"),
            ("log: {level: {a: 1}}\n", "line 10 gives it keys of its own. [TR-CFG-004]"),
            ("kafka: {bootstrap: ''}\n", "kafka.bootstrap must be host:port, several with commas"),
            ("kafka: {bootstrap: nohost}\n", "kafka.bootstrap must be host:port"),
            ("connect: {url: http://127.0.0.1:808x}\n", "connect.url must be a URL such as"),
            ("health: {port: 70000}\n", "must be a port number from 0 to 65535, but"),
            ("health: {port: 1.5}\n", "says '1.5'. [TR-CFG-004]"),
            ("health: {port: [1]}\n", "says ['1']. [TR-CFG-004]"),
            ("connect: {url: ftp://x}\n", "must be a URL such as http://127.0.0.1:8083, but"),
            ("redis: {url: cr3t://x}\n", "redis.url must be a URL that starts with redis://"),
            ("    workers: 0\n", "workers must be a whole number from 1 to 1000000, but"),
            ("    batch: {max_bytes: 8 MB}\n", "must be a size in bytes such as 8MiB, but"),
            ("    tables: [public.x]\n", "has public.x, which source.tables does not; add it"),
            ("    tables: [orders]\n", "written with its schema, like public.orders, but"),
            (
                "  lake: {type: oracle}\n",
                "sinks.lake.type must be postgres or projection or subscriber, but",
            ),
            (
                "  lake: {type: [a]}\n",
                "sinks.lake.type must be postgres or projection or subscriber, but",
            ),
            (
                "  lake: {}\n",
                "sinks.lake.type must be postgres or projection or subscriber, but it is missing.",
            ),
            ("  lake: {type: postgres}\n", "sinks.lake.dsn is missing; write it in"),
            ("  lake: postgres\n", "sinks.lake must be a section with keys of its own"),
            ("  My-Lake: {type: postgres}\n", "the key sinks.My-Lake must be a name of up to 41"),
        ],
    )
    def test_names_the_key_and_the_next_step(self, file: Path, extra: str, sentence: str) -> None:
        assert sentence in problem(file, GOOD + extra)

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "pipeline is missing; write it in"),
            ("pipeline: Shop\n", "pipeline must be a name of up to 41 small letters"),
            (GOOD.replace("pipeline: shop", 'pipeline: "shop\\n"'), "must be a name of up to 41"),
            (GOOD.replace("tables:", "tablets:"), "did you mean tables?"),
            (GOOD.split("sinks:")[0], "sinks is empty; describe at least one"),
            (GOOD.replace("[public.customers, ", "[public.a, public.a, "), "public.a twice"),
            (GOOD.replace('[public.customers, "public.Odd Name"]', "[]"), "names no table"),
            (GOOD.replace("postgresql://", "postgresql//"), "must be a Postgres DSN"),
            (GOOD.replace("  dsn: postgresql", "  dsn: [postgresql]#"), "says something else."),
            ("- a\n", "line 1 is not a pipeline file: it must be a mapping"),
            ("a: 'x", "line 1 is not a pipeline file: found unexpected end of stream."),
            ("a: *s3cr3t\n", "starts with * or & needs quotes"),
            ("a: &s3cr3t\n", "starts with * or & needs quotes"),
            ("a: !s3cr3t\n", "starts with ! needs quotes"),
            ("a: !x {}\n", "starts with ! needs quotes"),
            ("a: 1\na: 2\n", "line 2 is not a pipeline file: the key a is there twice."),
            ("? [a]\n: 1\n", "a key must be a plain word."),
            ("a: [[cr3t]]\n", "a list holds plain values only."),
            ("a: \x01\n", "it holds a character that YAML does not allow."),
            ("a: 1\n---\nb: 1\n", "found another document."),
            ("[" * 100_000, "it is nested too deeply."),
        ],
    )
    def test_in_the_whole_file(self, file: Path, text: str, sentence: str) -> None:
        assert sentence in problem(file, text)

    def test_no_file(self, tmp_path: Path) -> None:
        said = problem(tmp_path / "gone.yaml")
        assert "gone.yaml cannot be read: No such file or directory." in said
        assert "tailrace config init" in said
        assert said.endswith("[TR-CFG-001]")

    def test_a_folder_or_bytes_instead_of_a_file(self, tmp_path: Path) -> None:
        assert "Is a directory" in problem(tmp_path)
        (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
        assert "it is not UTF-8 text" in problem(tmp_path / "binary")

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (None, "which cannot be read: No such file or directory."),
            (b"", "which is empty. [TR-CFG-006]"),
            (b"\xff", "which cannot be read: it is no text file."),
        ],
    )
    def test_the_secret_file(self, file: Path, content: bytes | None, sentence: str) -> None:
        if content is not None:
            (file.parent / "password").write_bytes(content)
        said = problem(file, GOOD + "    dsn_file: password\n")
        assert sentence in said
        assert "sinks.warehouse.dsn_file names" in said

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("SINKS__WAREHOUS__DSN", "unknown key sinks.warehous; did you mean warehouse?"),
            ("SINKS__LAKE__DSN", "TAILRACE__SINKS__LAKE__DSN: unknown key sinks.lake; known are"),
            ("LOG__LEVEL", "environment TAILRACE__LOG__LEVEL says 'x'."),
            ("LOG", "environment TAILRACE__LOG gives it a plain value."),
            ("SOURCE__DSN__X", "environment TAILRACE__SOURCE__DSN__X gives it keys of its own."),
            ("", "environment TAILRACE__: unknown key"),
        ],
    )
    def test_in_the_environment(self, file: Path, name: str, sentence: str) -> None:
        assert sentence in problem(file, **{name: "x"})

    @in_one_folder
    @given(text=st.text() | st.text(alphabet="ab:{}[]-'\"\n &*!%#@`|>,?~1."))
    @example("a: !!int x")
    @example("a: 2024-99-99")
    @example("a: !!timestamp x")
    def test_any_text_ends_in_one_sentence(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "any.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        with pytest.raises(Problem):
            load(path, env={})

    values = st.recursive(
        st.none() | st.text() | st.integers() | st.booleans() | st.floats(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    )

    keys = (
        "pipeline source source.dsn source.dsn_file source.tables sinks sinks.warehouse log"
        " sinks.warehouse.type sinks.warehouse.batch.max_bytes log.level redis.url_file"
    )

    @in_one_folder
    @given(at=st.sampled_from(keys.split()), value=values)
    def test_any_value_anywhere_is_taken_or_refused(
        self, file: Path, at: str, value: object
    ) -> None:
        tree = yaml.safe_load(GOOD)
        *above, last = at.split(".")
        inner = tree
        for name in above:
            inner = inner.setdefault(name, {})
        inner[last] = value
        file.write_text(json.dumps(tree), encoding="utf-8")
        with contextlib.suppress(Problem):
            assert load(file, env={}).source.tables


class TestSecrets:
    def test_no_repr_shows_one(self, file: Path) -> None:
        pipeline = read(file, GOOD, REDIS__URL="redis://:s3cr3t@cache/0")
        for shown in (repr(pipeline), str(pipeline), f"{pipeline.source}", pretty_repr(pipeline)):
            assert "cr3t" not in shown
            assert "***" in shown

    @given(password=st.text(alphabet=st.characters(exclude_characters="\x00"), min_size=1))
    def test_a_password_in_key_value_form(self, password: str) -> None:
        quoted = password.replace("\\", "\\\\").replace("'", "\\'")
        assert redact(f"host=h password='{quoted}' user=u") == "host=h password=*** user=u"

    @given(password=st.text(min_size=1))
    def test_a_password_in_a_url(self, password: str) -> None:
        hidden = redact(f"postgresql://u:{password}@h:5432/db")
        assert hidden == "postgresql://u:***@h:5432/db"

    def test_a_password_as_a_parameter(self) -> None:
        assert (
            redact("postgresql:///d?password=a@b&user=u") == "postgresql:///d?password=***&user=u"
        )

    def test_what_holds_none_is_left_alone(self) -> None:
        for text in ("postgresql://u@h:5432/d", "host=h", "public.orders", "http://a:80/x"):
            assert redact(text) == text


class TestCommands:
    def test_init_writes_a_file_that_loads_and_is_never_overwritten(self, tmp_path: Path) -> None:
        path = tmp_path / "pipeline.yaml"
        assert CliRunner().invoke(app, ["config", "init", str(path)]).exit_code == 0
        assert load(path, env={}).name == "shop"
        path.write_text("mine")
        again = CliRunner().invoke(app, ["config", "init", str(path)])
        assert isinstance(again.exception, Problem)
        assert again.exception.code == "TR-CFG-008"
        assert path.read_text() == "mine"

    def test_init_into_nowhere_is_a_sentence(self, tmp_path: Path) -> None:
        nowhere = CliRunner().invoke(app, ["config", "init", str(tmp_path / "no" / "file")])
        assert isinstance(nowhere.exception, Problem)

    def test_show_names_each_origin_and_hides_passwords(self, file: Path) -> None:
        shown = CliRunner().invoke(app, ["config", "show", "--origin", "-c", str(file)])
        assert "cr3t" not in shown.stdout
        lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
        assert f"source.dsn postgresql://me:***@db:5432/shop {file} line 3" in lines
        assert "log.level info default" in lines

    def test_show_as_json(self, file: Path) -> None:
        shown = CliRunner().invoke(
            app,
            ["config", "show", "--json", "--origin", "-c", str(file)],
            env={"TAILRACE__LOG__LEVEL": "debug"},
        )
        said = json.loads(shown.stdout)
        assert said["log.level"] == {"value": "debug", "origin": "environment TAILRACE__LOG__LEVEL"}
        assert said["sinks.warehouse.type"]["value"] == "postgres"

    def test_the_schema_knows_every_key_and_the_secret_files(self) -> None:
        printed = json.loads(CliRunner().invoke(app, ["config", "schema"]).stdout)
        assert printed == json.loads(json.dumps(schema()))
        source = printed["$defs"]["Source"]
        assert {"dsn", "dsn_file", "tables"} <= set(source["properties"])
        assert source["required"] == ["tables", "placeholder"]
        assert source["additionalProperties"] is False
