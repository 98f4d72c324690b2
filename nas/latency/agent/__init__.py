"""The device agent, which measures the networks that other machines send.

- `server` is the HTTP interface; it neither parses models nor imports runtimes.
- `startup` finds the runtimes to serve, the token and the certificate.
- `auth` rejects requests without the token and limits what a connection may cost.
- `jobs` runs one job at a time and keeps the last results.
- `child` runs `worker`, a separate process for every job, which may crash or hang.
- `upload` receives models, and `accepted` lists their formats; `onnx_checks`, `tflite_checks` and
  `ncnn_checks` refuse models that are damaged or reach beyond themselves.
- `messages` defines the records that these modules exchange.
- `run` starts the server.

`nas.latency.remote.device` is the client.
"""
