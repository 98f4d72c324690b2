"""The device agent, which measures the networks that other machines send.

- `server` is the HTTP interface; it knows neither ONNX nor the runtime.
- `auth` rejects requests without the token and limits what a connection may cost.
- `jobs` runs one job at a time and keeps the last results.
- `child` runs `worker`, a separate process for every job, which may crash or hang.
- `external_data` refuses models that name other files.
- `messages` defines the records that these modules exchange.
- `run` starts the server.

`nas.latency.remote.device` is the client.
"""
