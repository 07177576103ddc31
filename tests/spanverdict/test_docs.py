"""The documentation names what there is, and what it shows is true."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from pydantic import BaseModel

from spanverdict.cli import main
from spanverdict.config import Config, load

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "sample_traces" / "README.md", *sorted(DOCS.glob("*.md"))]
TEXT = "\n".join(page.read_text("utf-8") for page in (ROOT / "README.md", *sorted(DOCS.glob("*.md"))))
CONFIGURATION = (DOCS / "configuration.md").read_text("utf-8")


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group with its path, such as ("promotion", "add")."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(main))


def section(text: str, heading: str) -> str:
    """What stands under a heading, to the next of its level."""
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def models(kind: Any) -> list[type[BaseModel]]:
    """The models in a type: itself, or what a tuple or a dict of it holds."""
    found = [kind] if isinstance(kind, type) and issubclass(kind, BaseModel) else []
    return found + [model for part in get_args(kind) for model in models(part)]


def test_every_command_and_option_is_documented() -> None:
    """Each command stands in README.md or docs/ by its full name, each of its options by its long name."""
    missing = [" ".join(path) for path in COMMANDS if not re.search(rf"\b{re.escape(' '.join(path))}\b", TEXT)]
    for path, command in COMMANDS.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                long = next(name for name in parameter.opts if name.startswith("--"))
                missing += [f"{' '.join(path)} {long}"] * (not re.search(rf"(?<![\w-]){long}(?![\w-])", TEXT))
    assert missing == []


def test_every_command_and_option_explains_itself() -> None:
    """--help says what each command does and what each option means, but for a choice that says it by its values."""
    silent = [" ".join(path) for path, command in COMMANDS.items() if not command.help]
    silent += [
        f"{' '.join(path)} {parameter.opts[0]}"
        for path, command in COMMANDS.items()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help and not isinstance(parameter.type, click.Choice)
    ]
    assert silent == []


def test_every_configuration_key_is_documented() -> None:
    """Each key of each section stands in docs/configuration.md, those of repeated sections under their heading."""
    missing = []
    for name, field in Config.model_fields.items():
        inner = models(field.annotation)
        if not inner:
            missing += [name] * (f"`{name}`" not in CONFIGURATION)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys = [f"{name}.{key}" for key in inner[0].model_fields]
            missing += [key for key in keys if f"| `{key}` |" not in CONFIGURATION]
        else:
            headings = [line for line in CONFIGURATION.splitlines() if re.match(rf"## `\[+{name}\b", line)]
            under = section(CONFIGURATION, headings[0].removeprefix("## ")) if headings else ""
            missing += [f"{name}: {key}" for key in inner[0].model_fields if f"`{key}`" not in under]
    assert missing == []


def test_the_documented_keys_exist() -> None:
    """No key in the table is gone, and each default is the real one."""
    wrong = []
    for line in CONFIGURATION.splitlines():
        found = re.match(r"\| `([a-z_.]+)` \| (.+?) \| ", line)
        if not found or ("." not in found[1] and found[1] not in Config.model_fields):
            continue
        value: Any = Config.model_construct()
        for part in found[1].split("."):
            value = getattr(value, part, "no such key")
        told = None if found[2] == "none" else tomllib.loads(f"v = {found[2].strip('`')}")["v"]
        real = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
        wrong += [f"{found[1]}: documented {told!r}, is {real!r}"] * (told != real)
    assert wrong == []


@pytest.mark.parametrize("page", [page.relative_to(ROOT).as_posix() for page in PAGES])
def test_the_examples_of_configuration_load(page: str, tmp_path: Path) -> None:
    """Every TOML block is a configuration that is accepted."""
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)):
        path = tmp_path / f"{number}.toml"
        path.write_text(block, "utf-8")
        load(path)


@pytest.mark.parametrize("page", [page.relative_to(ROOT).as_posix() for page in PAGES])
def test_the_examples_of_commands_exist(page: str) -> None:
    """Every `spanverdict …` line of a code block is a command with options that it knows."""
    wrong = []
    for block in re.findall(r"```\w*\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if not line.strip().startswith("spanverdict "):
                continue
            words = shlex.split(line, comments=True)[1:]
            path = next((known for known in COMMANDS if tuple(words[: len(known)]) == known), None)
            known = {name for parameter in COMMANDS[path].params for name in parameter.opts} if path else set()
            unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
            wrong += [line] * (path is None or bool(unknown))
    assert wrong == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [page.relative_to(ROOT).as_posix() for page in PAGES])
def test_links_lead_somewhere(page: str) -> None:
    """Every link to a file finds it, every anchor finds its heading."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = ((ROOT / page).parent / name) if name else ROOT / page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


def test_every_dependency_has_its_reason() -> None:
    """Each package that is installed with the product stands in docs/dependencies.md, and none stands there in vain."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {re.split(r"[<>=!~\[; ]", text)[0] for text in project["dependencies"]}
    rows = re.findall(r"^\| (`.+?) \|", (DOCS / "dependencies.md").read_text("utf-8"), re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert wanted - told == set()
    assert told - wanted == set()
