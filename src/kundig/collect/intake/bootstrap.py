"""What browser SDKs fetch before they send: their settings, so that they start with no vendor's account and no CDN."""

from __future__ import annotations

from typing import Any


def segment_settings(key: str, *, host: str, scheme: str) -> dict[str, Any]:
    """What `@segment/analytics-next` asks for at /v1/projects/<key>/settings: send everything here, load nothing else.

    Args:
        key: The write key that was asked with.
        host: Host the SDK reached the intake by.
        scheme: http or https.
    """
    everything = {"__default": {"enabled": True, "integrations": {}}}
    own = {"apiKey": key, "apiHost": f"{host}/v1", "protocol": scheme, "unbundledIntegrations": [], "addBundledMetadata": True, "maybeBundledConfigIds": {}}
    return {
        "integrations": {"Segment.io": own | {"versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]}}}, "plan": {"track": everything, "identify": everything, "group": everything},
        "edgeFunction": {}, "analyticsNextEnabled": True, "middlewareSettings": {}, "enabledMiddleware": {}, "metrics": {"sampleRate": 0}, "legacyVideoPluginsEnabled": False,
        "remotePlugins": [],
    }  # fmt: skip


def rudder_config(key: str, source: str) -> dict[str, Any]:
    """What `@rudderstack/analytics-js` asks for at /sourceConfig: the source is on, and has no destinations in the browser."""
    silent = {"statsCollection": {"errors": {"enabled": False}, "metrics": {"enabled": False}}}
    return {
        "source": {
            "id": source, "name": source, "writeKey": key, "enabled": True, "workspaceId": "kundig", "config": silent, "destinations": [], "connections": [],
            "sourceDefinition": {"name": "Javascript"},
        }
    }  # fmt: skip
