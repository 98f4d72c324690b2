"""The device agent: this machine measures what others send it.

- `server` speaks HTTP and knows neither ONNX nor the runtime.
- `gate` keeps out who has no token, and bounds what a connection may cost.
- `jobs` does one thing at a time and keeps the last results.
- `child` runs `worker`, a process of its own for every job, which may crash or hang.
- `orders` is what they tell each other.

`nas.latency.remote.device` is the other end.
"""
