"""The fake Lambda context: its time runs, and it has what the real one has."""

import time

from awslambdaric.lambda_context import LambdaContext as RealContext

from asyncbatch.testing import LambdaContext


def test_the_remaining_time_runs_out() -> None:
    now = 100.0
    context = LambdaContext(2.5, clock=lambda: now)
    assert context.get_remaining_time_in_millis() == 2500
    now = 101.2505
    assert context.get_remaining_time_in_millis() == 1249
    now = 200.0
    assert context.get_remaining_time_in_millis() == 0


def test_the_default_clock_is_the_real_one() -> None:
    context = LambdaContext(30.0)
    time.sleep(0.002)
    left = context.get_remaining_time_in_millis()
    assert isinstance(left, int)
    assert 0 < left < 30_000


def test_it_has_the_attributes_of_the_real_context() -> None:
    ours = LambdaContext(function_name="orders", memory=512)
    real = RealContext("id", None, None, 0, "arn")
    public = {name for name in vars(real) if not name.startswith("_")}
    assert public - {"tenant_id"} <= set(vars(ours))
    assert ours.invoked_function_arn.endswith(":function:orders")
    assert ours.memory_limit_in_mb == "512"
    assert ours.log_group_name == "/aws/lambda/orders"
    assert repr(LambdaContext(0.0)) == "<LambdaContext test with 0 ms left>"
