"""What the conformance suite of MCP asks its server to offer: its own tools, resources and prompts, by their names.

They are served by the product's protocol (``chalicelib.api.agents.protocol``), so that the suite judges that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chalicelib.api.agents.operations import door
from chalicelib.api.agents.protocol import INVALID_PARAMS, NO_RESOURCE, Agents, RpcProblem, ToolAnswer
from chalicelib.api.http.operations import Table

# A red pixel, and a tone of no samples.
PNG: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV: Final = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA="
IMAGE: Final = {"type": "image", "data": PNG, "mimeType": "image/png"}


def text(said: str) -> dict[str, Any]:
    """A text among the contents of an answer."""
    return {"type": "text", "text": said}


def embedded(uri: str, said: str, media: str = "text/plain") -> dict[str, Any]:
    """A resource among the contents of an answer."""
    return {"type": "resource", "resource": {"uri": uri, "mimeType": media, "text": said}}


TOOLS: Final = {
    "test_simple_text": ToolAnswer([text("This is a simple text response for testing.")]),
    "test_image_content": ToolAnswer([IMAGE]),
    "test_audio_content": ToolAnswer([{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]),
    "test_embedded_resource": ToolAnswer(
        [embedded("test://embedded-resource", "This is an embedded resource content.")]
    ),
    "test_multiple_content_types": ToolAnswer(
        [
            text("Multiple content types test:"),
            IMAGE,
            embedded("test://mixed-content-resource", json.dumps({"test": "data", "value": 123}), "application/json"),
        ]
    ),
    "test_error_handling": ToolAnswer([text("This tool intentionally returns an error for testing")], failed=True),
    "json_schema_2020_12_tool": ToolAnswer([text("done")]),
}
SCHEMAS: Final = {
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}
        },
        "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
        "additionalProperties": False,
    }
}
RESOURCES: Final = {
    "test://static-text": ("text/plain", "text", "This is the content of the static text resource."),
    "test://static-binary": ("image/png", "blob", PNG),
}
TEMPLATE: Final = ("test://template/", "/data")
PROMPTS: Final[Mapping[str, Sequence[str]]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
}


class SuiteOffer:
    """See the module."""

    about: Mapping[str, Any] = {"serverInfo": {"name": "suite", "version": "1"}}

    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The tools of the suite."""
        plain = {"type": "object", "properties": {}}
        return [{"name": name, "description": name, "inputSchema": SCHEMAS.get(name, plain)} for name in TOOLS]

    def use(self, name: str, given: Mapping[str, Any]) -> ToolAnswer:
        """What the tool of this name always answers."""
        if name not in TOOLS:
            raise RpcProblem(INVALID_PARAMS, f"there is no tool {name}")
        return TOOLS[name]

    def resources(self) -> Sequence[Mapping[str, Any]]:
        """The resources of the suite."""
        return [
            {"uri": uri, "name": uri, "description": uri, "mimeType": media}
            for uri, (media, _, _) in RESOURCES.items()
        ]  # fmt: skip

    def templates(self) -> Sequence[Mapping[str, Any]]:
        """One with an id in its midst."""
        return [{"uriTemplate": "{id}".join(TEMPLATE), "name": "template", "mimeType": "application/json"}]

    def read(self, uri: str) -> Sequence[Mapping[str, Any]]:
        """The content of one of them."""
        if uri in RESOURCES:
            media, kind, content = RESOURCES[uri]
            return [{"uri": uri, "mimeType": media, kind: content}]
        if not (uri.startswith(TEMPLATE[0]) and uri.endswith(TEMPLATE[1])):
            raise RpcProblem(NO_RESOURCE, "there is no such resource", {"uri": uri})
        named = uri[len(TEMPLATE[0]) : -len(TEMPLATE[1])]
        found = {"id": named, "templateTest": True, "data": f"Data for ID: {named}"}
        return [{"uri": uri, "mimeType": "application/json", "text": json.dumps(found)}]

    def prompts(self) -> Sequence[Mapping[str, Any]]:
        """The prompts of the suite."""
        return [
            {
                "name": name,
                "description": name,
                "arguments": [{"name": each, "description": each, "required": True} for each in arguments],
            }
            for name, arguments in PROMPTS.items()
        ]

    def prompt(self, name: str, given: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """The messages of one of them."""
        said = {
            "test_simple_prompt": lambda: [text("This is a simple prompt for testing.")],
            "test_prompt_with_arguments": lambda: [
                text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")
            ],
            "test_prompt_with_embedded_resource": lambda: [
                embedded(given["resourceUri"], "Embedded resource content for testing."),
                text("Please process the embedded resource above."),
            ],
            "test_prompt_with_image": lambda: [IMAGE, text("Please analyze the image above.")],
        }
        if name not in said:
            raise RpcProblem(INVALID_PARAMS, f"there is no prompt {name}")
        return [{"role": "user", "content": each} for each in said[name]()]

    def complete(self, ref: Mapping[str, Any], argument: str, begun: str) -> Sequence[str]:
        """Two words that begin so."""
        return [f"{begun}-a", f"{begun}-b"]


def operations() -> Table:
    """The one call, with this offer behind it."""
    return Table([door(Agents(lambda _call: SuiteOffer()))])
