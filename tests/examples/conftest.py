"""The examples as modules, and their SAM templates as data."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import asyncbatch

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example() -> Iterator[Callable[[str], ModuleType]]:
    """Import an example anew, so that no test sees another's state."""
    path, modules = list(sys.path), set(sys.modules)

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(
            f"example_{name.replace('/', '_')}", EXAMPLES / f"{name}.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module.__name__] = module
        spec.loader.exec_module(module)
        return module

    yield load
    asyncbatch.shutdown()
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(EXAMPLES)):
            del sys.modules[name]


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short functions: ``!GetAtt A.Arn`` becomes the text."""


def _function(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else None


_Loader.add_multi_constructor("!", _function)


class Template:
    """A template, with what these tests ask of it."""

    def __init__(self, text: str) -> None:
        self.resources: dict[str, Any] = yaml.load(text, _Loader)["Resources"]

    def only(self, kind: str) -> dict[str, Any]:
        (found,) = [each["Properties"] for each in self.resources.values() if each["Type"] == kind]
        return dict(found)

    def of(self, arn: str) -> dict[str, Any]:
        """Return the resource whose ARN a text names."""
        return dict(self.resources[arn.removesuffix(".Arn")]["Properties"])

    @property
    def mapping(self) -> dict[str, Any]:
        return self.only("AWS::Lambda::EventSourceMapping")

    @property
    def function(self) -> dict[str, Any]:
        return self.only("AWS::Serverless::Function")


@pytest.fixture
def sam_template() -> Callable[[str], Template]:
    """Read one of the SAM templates by its name."""

    def read(name: str) -> Template:
        return Template((EXAMPLES / "powertools" / "sam" / f"{name}.yaml").read_text())

    return read
