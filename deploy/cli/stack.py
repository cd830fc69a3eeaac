"""The local stack on the command line: up, down, start, stop, status, demo."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer

from deploy.bench import Part
from deploy.local.home import home_of

Home = Annotated[Path | None, typer.Option(help="folder of the stack; default .certlane in the checkout")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


def add_to(app: typer.Typer) -> None:
    """Add the stack's commands."""
    from deploy.local import commands  # noqa: PLC0415

    @app.command()
    def up(home: Home = None) -> None:
        """Start Kafka, Redis and all processes; leave them running."""
        commands.up(home)
        where = home_of(home).path / "demo.json"
        commands.say_on_stderr(f"ready; {where} tells gateways, tokens and requests to try")

    @app.command()
    def down(home: Home = None) -> None:
        """Stop everything of this stack."""
        commands.down(home)

    @app.command()
    def start(name: str, home: Home = None) -> None:
        """Start one part again."""
        commands.start(home, name)

    @app.command()
    def stop(name: str, home: Home = None) -> None:
        """Stop one part and keep it stopped (SIGTERM, after 10 s SIGKILL)."""
        commands.stop(home, name)

    @app.command()
    def status(home: Home = None, as_json: Json = False) -> None:  # noqa: FBT002
        """Show every part, its state and process id."""
        rows = commands.status(home)
        if as_json:
            print(orjson.dumps([asdict(row) for row in rows]).decode())
            return
        for row in rows:
            print(f"{row.name:<12} {row.state:<10} {row.pid or ''}")

    @app.command()
    def bench(
        only: Annotated[list[Part] | None, typer.Option(help="part to measure, may be repeated; default all")] = None,
        seconds: Annotated[float, typer.Option(help="seconds measured for each row of the lane")] = 5.0,
        as_json: Json = False,  # noqa: FBT002
    ) -> None:
        """Measure the product: a lane beside a bare aiokafka echo, the registry at scale, the judge beside engines."""
        from deploy.bench.parts import measure, written  # noqa: PLC0415

        print(written(measure(set(only or Part), seconds=seconds), as_json=as_json))

    @app.command()
    def demo(as_json: Json = False) -> None:  # noqa: FBT002
        """Start a stack of its own, play the story, stop."""
        from deploy.demo.story import play  # noqa: PLC0415

        with commands.temporary_stack(commands.say_on_stderr) as home:
            raise typer.Exit(play(home, as_json=as_json))
