"""TLS to Postgres: `sslmode=require` encrypts, `verify-full` also asks who the server is."""

from __future__ import annotations

import os
import subprocess

import pytest
from support import certificates, schema, servers
from support.postgres import Cluster


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    """The file of the CA that signed the server's certificate, and that of another one."""
    return {name: (tmp_path_factory.mktemp(name) / "ca.crt", certificates.make(name)) for name in ("ours", "other")}


@pytest.fixture(scope="module")
def cluster(authorities):
    """A Postgres that takes no connection without TLS, known as `localhost`."""
    for path, (certificate, _) in authorities.values():
        certificates.write(path, certificate)
    cluster = Cluster.start()
    try:
        cluster.halt()
        data = cluster.root / "data"
        certificates.write(data / "server.crt", *certificates.make("server", authorities["ours"][1], "localhost"))
        (data / "server.key").chmod(0o600)
        if cluster.owner:
            for file in ("server.crt", "server.key"):
                os.chown(data / file, cluster.owner["user"], cluster.owner["group"])
        with (data / "postgresql.conf").open("a") as conf:
            conf.write("ssl = on\n")
        # The cluster's own psql comes to `postgres`, without TLS: it may not read the home folder for certificates.
        hba = "host postgres all 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 trust\n"
        (data / "pg_hba.conf").write_text(hba)
        cluster.boot()
        yield cluster
    finally:
        cluster.stop()


@pytest.mark.parametrize(
    ("host", "parameters", "refusal"),
    [
        ("127.0.0.1", "sslmode=require", None),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert={ours}", None),
        ("localhost", "sslmode=verify-full&sslrootcert={ours}", None),
        ("127.0.0.1", "sslmode=disable", "no encryption"),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={ours}", "does not match host name"),
        ("localhost", "sslmode=verify-full&sslrootcert={other}", "certificate verify failed"),
        ("localhost", "sslmode=verify-full&sslrootcert={ours}.missing", "does not exist"),
    ],
)
def test_tls_to_postgres(cluster, authorities, host, parameters, refusal):
    files = {name: path for name, (path, _) in authorities.items()}
    uri = f"postgresql://ferroflow@{host}:{cluster.port}/{cluster.create_database()}?{parameters.format(**files)}"
    command = [str(servers.ferroflow_binary()), "db", "upgrade", uri]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if refusal is None:
        assert done.returncode == 0, done.stderr
        assert schema.query(uri, "SELECT count(*) FROM workspaces") == [(1,)]
    else:
        assert done.returncode != 0 and refusal in done.stderr, done.stdout + done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_server_works_over_tls(cluster, authorities, start_server):
    uri = f"postgresql://ferroflow@localhost:{cluster.port}/{cluster.create_database()}"
    uri += f"?sslmode=verify-full&sslrootcert={authorities['ours'][0]}"
    start_server("ferroflow", uri)
    encrypted = schema.query(
        uri,
        "SELECT count(*), bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert encrypted[0][0] > 0 and encrypted[0][1] is True
