"""What shells need to complete commands, options, and the names of things from the service."""

from __future__ import annotations

import click

from chronosctl.commands import Shared


@click.command("completion", cls=Shared)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, /, shell: str) -> None:
    """Print the completion of a shell.

    bash: eval "$(chronosctl completion bash)" in ~/.bashrc; zsh the same in ~/.zshrc; fish: chronosctl completion fish
    > ~/.config/fish/completions/chronosctl.fish
    """
    from click.shell_completion import ShellComplete, get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, "click knows these shells"
    made = kind(context.find_root().command, {}, "chronosctl", "_CHRONOSCTL_COMPLETE")
    click.echo(ShellComplete.source(made))  # not the shell's own: it runs bash only to ask for its release
