"""The client side of a device on another machine; the agent's side is `nas.latency.agent`."""
