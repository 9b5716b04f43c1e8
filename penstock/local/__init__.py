"""The local environment: a control plane, NATS and the services as child processes on loopback.

`environment.Environment` is the whole; `control_plane.ControlPlane`, `nats_server.NatsServer` and
`git_server.GitServer` also serve alone, to tests and benches.
"""
