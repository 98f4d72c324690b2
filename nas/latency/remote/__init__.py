"""The desk's side of a device on another machine; `nas.latency.agent` is the other one."""
