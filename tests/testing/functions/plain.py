"""A plain function for the runtime: it does what the event says."""

import os
import sys
import time

invocations = 0


def handler(event, context):
    global invocations
    invocations += 1
    print("invocation", invocations)
    match event.get("do"):
        case "raise":
            raise ValueError("no such order")
        case "exit":
            sys.exit(event["code"])
        case "sleep":
            time.sleep(event["seconds"])
        case "bytes":
            return b"\xff\x00"
    return {
        "invocations": invocations,
        "pid": os.getpid(),
        "remaining": context.get_remaining_time_in_millis(),
        "request_id": context.aws_request_id,
        "function": context.function_name,
        "arn": context.invoked_function_arn,
        "greeting": os.environ.get("GREETING"),
        "monotonic": time.monotonic(),
    }
