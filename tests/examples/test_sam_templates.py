"""The SAM templates of the examples: valid for AWS's own checks, and right where those do not look."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "powertools"
TEMPLATES = sorted((EXAMPLES / "sam").glob("*.yaml"))

QUEUES = {"sqs", "sqs_fifo", "own_processor_table", "idempotency_table"}
STREAMS = {"kinesis", "dynamodb", "kafka"}

Check = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=TEMPLATES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def template(path: Path, sam_template: Callable[[str], Any]) -> Any:
    return sam_template(path.stem)


@pytest.fixture
def check(sam_venv: Path, tmp_path: Path) -> Check:
    """Run one of the programs of AWS's SAM command line."""

    def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sam_venv / "bin" / program, *map(str, arguments)],
            env={
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_DEFAULT_REGION": "eu-west-1",
                "AWS_SECRET_ACCESS_KEY": "test",
                "HOME": str(tmp_path),
                "PATH": os.environ["PATH"],
                "SAM_CLI_TELEMETRY": "0",
            },
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_there_is_one_per_source() -> None:
    assert {each.stem for each in TEMPLATES} == QUEUES | STREAMS


def test_cfn_lint_finds_nothing(check: Check) -> None:
    done = check("cfn-lint", *TEMPLATES)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_cfn_lint_would_find_a_wrong_mapping(check: Check, tmp_path: Path) -> None:
    wrong = tmp_path / "template.yaml"
    text = (EXAMPLES / "sam" / "sqs.yaml").read_text()
    wrong.write_text(text.replace("ReportBatchItemFailures", "ReportBatchItemFailure"))
    done = check("cfn-lint", wrong)
    assert done.returncode != 0
    assert "E3030" in done.stdout


def test_sam_validates_it(check: Check, path: Path) -> None:
    done = check("sam", "validate", "--lint", "--template-file", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is a valid SAM Template" in done.stdout


def test_lambda_reads_the_response(template: Any) -> None:
    assert template.mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_function_is_an_example(path: Path, template: Any) -> None:
    name, attribute = template.function["Handler"].split(".")
    assert f"examples/powertools/{name}.py" in path.read_text()
    assert (path.parent / template.function["CodeUri"] / f"{name}.py").resolve() == EXAMPLES / f"{name}.py"
    assert f"\ndef {attribute}(event" in (EXAMPLES / f"{name}.py").read_text()


def test_what_keeps_failing_goes_to_a_dead_letter_queue(path: Path, template: Any) -> None:
    mapping = template.mapping
    if path.stem in QUEUES:
        queue = template.of(mapping["EventSourceArn"])
        dead = template.of(queue["RedrivePolicy"]["deadLetterTargetArn"])
        assert queue["RedrivePolicy"]["maxReceiveCount"] >= 5  # AWS's advice
        assert dead.get("FifoQueue") == queue.get("FifoQueue")
        assert "DestinationConfig" not in mapping  # it would be ignored
    else:
        dead = template.of(mapping["DestinationConfig"]["OnFailure"]["Destination"])
        assert mapping["MaximumRetryAttempts"] > 0
        assert {"SQSSendMessagePolicy": {"QueueName": "DeadLetters.QueueName"}} in template.function[
            "Policies"
        ]
    assert dead["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_a_batch_can_be_finished_before_it_is_delivered_again(path: Path, template: Any) -> None:
    """AWS's advice for queues, which cfn-lint does not check: six timeouts, and the batching window."""
    if path.stem not in QUEUES:
        assert template.mapping["StartingPosition"] in {"LATEST", "TRIM_HORIZON"}
        return
    mapping = template.mapping
    window = mapping.get("MaximumBatchingWindowInSeconds", 0)
    queue = template.of(mapping["EventSourceArn"])
    assert queue["VisibilityTimeout"] == 6 * template.function["Timeout"] + window
    if queue.get("FifoQueue"):
        assert mapping["BatchSize"] <= 10
        assert window == 0
    assert (mapping.get("BatchSize", 10) > 10) == (window > 0)
