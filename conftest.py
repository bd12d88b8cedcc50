"""Which tests only the full run includes, `pytest -m full`, and the programs that some tests need."""

from __future__ import annotations

import gc
import os
import shutil
from glob import glob

import pytest
from hypothesis import is_hypothesis_test

from brokers import crossbar as crossbar_io

FIXTURES = {
    "chromium": "browser",
    "crossbar": "real broker",
    "nginx": "real proxy",
    "node": "browser",
    "npm": "browser",
    "pgbouncer": "database server",
    "postgresql": "database server",
    "redis": "example servers",
}
"""Reasons by the fixture that a test needs."""

PARAMETERS = {
    ("broker", "real"): "real broker",
    ("database", "postgresql"): "database server",
    ("engine", "stream"): "database server",
    ("extent", "every"): "long run",
}
"""Reasons by a parameter of a test, as its name and value."""

PLACES = {
    "soak": ("benchmarks/tests/test_soak.py", "tests/test_relay_soak.py"),
    "the benchmarks' own tests": ("benchmarks/tests/",),
    "fuzz": ("tests/hub/test_fuzz.py",),
    "large events": ("tests/test_connection_pool.py::test_early_response",),
    "drivers of databases": (
        "tests/outbox/test_drivers.py::test_django",
        "tests/outbox/test_drivers.py::test_sqlalchemy",
    ),
    "example servers": (
        "tests/crossbar/test_cluster_command.py",
        "tests/examples/",
        "tests/hub/test_workers.py::test_under_gunicorn",
    ),
    "image of a container": ("tests/test_dockerfile.py",),
    "suites of the documentation": (
        "tests/test_docs.py::test_snippet_runs",
        "tests/test_docs.py::test_suite_passes",
        "tests/test_readme.py",
        "tests/test_sentry.py",
        "tests/test_testing.py::test_a_single_module_may_opt_in",
        "tests/test_testing.py::test_a_suite_that_opts_in_can_use_the_fixtures",
        "tests/test_testing.py::test_the_fastapi_example_can_be_tested_with_the_fixtures",
        "tests/test_tutorial.py",
    ),
    "processes of the command line": (
        "tests/cli/test_closed.py",
        "tests/cli/test_completion.py::test_in_bash",
        "tests/cli/test_demo.py::test_no_colours_and_no_arrows",
        "tests/cli/test_failed.py::test_a_killed_run_has_written_every_failure_that_it_printed",
        "tests/cli/test_failed.py::test_disk_full_after_many_failures",
        "tests/cli/test_failed.py::test_interrupted_after_the_disk_was_full",
        "tests/cli/test_failed.py::test_every_event_arrives_once_after_the_hub_was_down",
        "tests/cli/test_failed.py::test_pushed_again_until_all_is_delivered",
        "tests/cli/test_failed.py::test_a_wrong_file_of_failures_is_refused",
        "tests/cli/test_failed.py::test_the_reader_of_the_failures_closes_its_pipe",
        "tests/cli/test_files.py::test_line_",
        "tests/cli/test_rate.py",
        "tests/cli/test_hub.py::test_console",
        "tests/cli/test_hub.py::test_no_console",
        "tests/cli/test_hub.py::test_options_reach_the_hub",
        "tests/cli/test_hub.py::test_port_in_use",
        "tests/cli/test_hub.py::test_a_signal_ends_the_hub",
        "tests/cli/test_hub.py::test_sigterm_drains",
        "tests/cli/test_hub.py::test_subscriber_key",
        "tests/cli/test_hub.py::test_common_mistakes_are_logged",
        "tests/cli/test_hub.py::test_the_printed_commands_work",
        "tests/cli/test_hub_variables.py::test_a_hub_that_is_configured_only_by_variables",
        "tests/cli/test_inherited.py::test_explain_reads_all_of_its_input",
        "tests/cli/test_interrupt.py::test_nohup",
        "tests/cli/test_interrupt.py::test_once",
        "tests/cli/test_interrupt.py::test_twice",
        "tests/cli/test_interrupt.py::test_while_it_waits_for_its_rate",
        "tests/cli/test_interrupt.py::test_while_it_waits_for_input",
        "tests/cli/test_listen.py::test_full_pipe_that_does_not_block",
        "tests/cli/test_listen.py::test_markup_is_printed_as_text",
        "tests/cli/test_listen.py::test_a_lost_connection_exits_with_1",
        "tests/cli/test_listen.py::test_listen_reconnects_and_reports_losses",
        "tests/cli/test_listen.py::test_a_refused_connection_is_one_line",
        "tests/cli/test_listen.py::test_the_reader_closes_the_pipe",
        "tests/cli/test_main.py::test_exit_status_after_a_signal",
        "tests/cli/test_main.py::test_help_in_a_pipe",
        "tests/cli/test_main.py::test_help_and_completion_import_only_the_shown_command",
        "tests/cli/test_outputs.py",
        "tests/test_resolver.py::test_a_hung_name_server_and_",
        "tests/test_secrets.py::test_command_line",
        "tests/crossbar/test_command_line.py",
        "tests/cli/test_progress.py::test_bar",
        "tests/cli/test_relay.py::test_a_service",
        "tests/cli/test_progress.py::test_dumb_terminal_gets_plain_lines",
        "tests/cli/test_progress.py::test_the_bar_of_a_pipe_shows_no_share",
        "tests/cli/test_progress.py::test_piped_output_has_no_bar",
        "tests/cli/test_push.py::test_lines_of_standard_input_are_pushed_as_they_arrive",
    ),
    "processes that use a client": (
        "tests/test_async_client.py::TestCancel::test_debug_mode",
        "tests/test_async_client.py::TestLoops",
        "tests/test_client.py::TestProcesses",
        "tests/test_interrupted.py",
        "tests/test_logging.py::test_a_fork_is_logged_at_debug",
        "tests/test_package.py::test_importing_",
        "tests/test_pitfalls.py::test_no_thread_is_started",
        "tests/test_testing.py::test_importing_testing_imports_no_pytest",
        "tests/test_no_more_threads.py::test_interpreter_shutdown",
        "tests/test_pitfalls.py::test_preloaded_application",
        "tests/test_push_soon.py::test_exit_",
        "tests/test_push_soon.py::test_fork",
    ),
    "type checkers": ("tests/typing/",),
    "long run": (
        "tests/hub/test_authentication.py::test_only_unauthenticated_connections_have_a_timeout",
        "tests/hub/test_history.py::test_the_memory_is_at_most_what_is_counted",
        "tests/hub/test_history.py::test_receivers_are_counted",
        "tests/hub/test_server.py::test_closing_does_not_wait_for_a_subscriber_that_does_not_read",
        "tests/hub/test_server.py::test_a_subscriber_that_does_not_read_is_dropped_and_delays_no_other",
        "tests/hub/test_slow_peers.py",
        "tests/subscriber/test_subscriber.py::test_cancelled_at_any_moment",
        "tests/subscriber/test_subscriber.py::test_broker_that_has_stopped_replying_is_disconnected",
        "tests/subscriber/test_subscriber.py::test_events_wait_in_the_hub_while_the_consumer_does_not_read",
        "tests/subscriber/test_subscriber.py::test_consumer_that_is_too_slow_is_disconnected_and_recovers",
        "tests/subscriber/test_subscriber.py::test_refused_key_is_tried_again_after_the_first_connection",
        "tests/hub/test_wamp2_server.py::test_a_subscriber_that_does_not_read_is_dropped_and_delays_no_other",
        "tests/hub/test_websocket_attacks.py",
        "tests/test_async_client.py::TestBorrowedSession::test_closed_by_its_owner_meanwhile",
        "tests/test_connections.py::test_idle_connection_closed",
        "tests/test_connections.py::test_tls_slow_reader",
        "tests/test_frames.py::test_a_push_that_is_cancelled",
        "tests/test_push_soon.py::test_exit_without_close[gevent]",
        "tests/test_push_soon.py::test_fork[gevent]",
        "tests/test_quoted.py",
        "tests/hub/test_wamp2_server.py::test_a_thousand_subscribers_of_both_versions_get_an_event_each",
        "tests/test_frames.py::test_a_signal_while_a_client_sends",
        "tests/test_gevent.py::test_bulks",
        "tests/test_gevent.py::test_deadlines",
        "tests/test_gevent.py::test_greenlets_that_are_killed",
        "tests/test_gevent.py::test_idle_connection_closed",
        "tests/test_gevent.py::test_pushes_side_by_side",
        "tests/test_client.py::TestMany::test_keyboard_interrupt_in_flight",
        "tests/test_connection_pool.py::test_cancellation_at_any_moment",
        "tests/test_connection_pool.py::test_event_is_released_with_its_error",
        "tests/test_connection_pool.py::test_the_connection_used_last_is_used_first",
        "tests/test_connection_pool.py::test_long_head_that_is_not_read",
        "tests/test_secrets.py::test_case",
        "tests/test_parity.py::test_case_in_every_way",
        "tests/test_signal_handlers.py",
        "tests/test_selection.py",
        "tests/test_outage.py",
        "tests/test_pitfalls.py::test_a_stream_keeps_only_events_in_flight",
        "tests/test_pitfalls.py::test_broker_closes_while_the_loop_is_blocked",
        "tests/test_tickets.py::test_random_tokens",
    ),
}
"""Places by the reason: the beginnings of node IDs, each of a folder, a file, or a test."""


def reason_for_full(item: pytest.Item) -> str | None:
    """Return why only the full run includes a test, or `None` where the default run does."""
    assert isinstance(item, pytest.Function)
    if is_hypothesis_test(item.obj):
        return "fuzz"
    for fixture in item.fixturenames:
        if fixture in FIXTURES:
            return FIXTURES[fixture]
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    for (name, value), reason in PARAMETERS.items():
        if parameters.get(name) == value:
            return reason
    for reason, places in PLACES.items():
        if item.nodeid.startswith(places):
            return reason
    return None


@pytest.hookimpl(tryfirst=True)  # before pytest applies -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that only the full run includes."""
    for item in items:
        if reason_for_full(item):
            item.add_marker("full")


def pytest_collection_finish() -> None:
    """Keep the tests themselves out of garbage collections, of which some tests need many."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report how many tests the default run leaves out, and how to run them."""
    left_out = [item for item in terminalreporter.stats.get("deselected", ()) if item.get_closest_marker("full")]
    if left_out:
        tests = "1 test" if len(left_out) == 1 else f"{len(left_out)} tests"
        terminalreporter.write_line(f"{tests} of the full run left out; run them with: pytest -m full", yellow=True)


# Programs that a test can need. A test without its program is skipped; with CI=true it fails.


def needed(program: str, there: object, command: str) -> None:
    """Skip the test if a program or a package is not there, with the command to install it; with CI=true, fail."""
    if there:
        return
    reason = f"needs {program}: {command}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium() -> None:
    needed("Chromium", shutil.which("chromium"), "apt-get install chromium")


@pytest.fixture(scope="session")
def crossbar() -> None:
    needed(f"Crossbar.io {crossbar_io.VERSION}", crossbar_io.installed(), crossbar_io.COMMAND)


@pytest.fixture(scope="session")
def nginx() -> None:
    needed("nginx", shutil.which("nginx"), "apt-get install nginx-light")


@pytest.fixture(scope="session")
def node() -> None:
    needed("Node.js", shutil.which("node"), "apt-get install nodejs")


@pytest.fixture(scope="session")
def npm(node: None) -> None:
    needed("npm", shutil.which("npm"), "apt-get install npm")


@pytest.fixture(scope="session")
def pgbouncer() -> None:
    needed("PgBouncer", shutil.which("pgbouncer"), "apt-get install pgbouncer")


@pytest.fixture(scope="session")
def postgresql() -> None:
    found = shutil.which("initdb") or glob("/usr/lib/postgresql/*/bin/initdb")
    needed("PostgreSQL", found, "apt-get install postgresql")


@pytest.fixture(scope="session")
def redis() -> None:
    needed("redis-server", shutil.which("redis-server"), "apt-get install redis-server")


@pytest.fixture(scope="session")
def systemd() -> None:
    needed("systemd-analyze", shutil.which("systemd-analyze"), "apt-get install systemd")


@pytest.fixture(scope="session")
def curl() -> None:
    needed("curl", shutil.which("curl"), "apt-get install curl")


@pytest.fixture(scope="session")
def bash() -> None:
    needed("bash", shutil.which("bash"), "apt-get install bash")
