//! The program as a process: its startup errors, and that its shutdown cuts no request.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by a panic")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn program(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferroflow"));
    command.args(args).current_dir(dir).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(args: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    program(dir.path(), args).output().unwrap()
}

/// Asserts that the program fails with one line that contains `want`.
fn fails_with(args: &[&str], want: &str) {
    let output = output(args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{args:?}");
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("ferroflow: ")).collect();
    assert!(lines.len() == 1 && lines[0].contains(want), "{args:?}: {said}");
    assert!(!said.contains("geheim"), "{args:?}: {said}");
}

#[test]
fn refuses_what_it_cannot_or_must_not_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (args, want) in [
        (&["server", "--port", &port][..], "cannot listen at 127.0.0.1"),
        (&["server", "--port", "0", "--backend-store-uri", "mysql://u:geheim@h/d"], "not supported"),
        (&["server", "--port", "0", "--backend-store-uri", "./mlruns"], "cannot use the database"),
        (
            &[
                "server",
                "--port",
                "0",
                "--database-start-timeout",
                "0",
                "--backend-store-uri",
                "postgresql://u:geheim@127.0.0.1:1/d",
            ],
            "127.0.0.1",
        ),
        (&["server", "--port", "0", "--app-name", "basic-auth"], "--app-name basic-auth is not supported"),
        (&["server", "--port", "0", "--enable-workspaces"], "--enable-workspaces is not supported"),
        (&["server", "--port", "0", "--registry-store-uri", "sqlite:///other.db"], "--registry-store-uri"),
        (&["server", "--port", "0", "--uvicorn-opts", "--ssl-keyfile k"], "TLS"),
        (
            &["server", "--port", "0", "--artifacts-only", "--backend-store-uri", "sqlite:///x.db"],
            "--artifacts-only",
        ),
    ] {
        fails_with(args, want);
    }
}

#[test]
fn says_its_version_and_help() {
    assert!(String::from_utf8(output(&["--version"]).stdout).unwrap().contains("3.17.2"));
    let help = String::from_utf8(output(&["server", "--help"]).stdout).unwrap();
    for flag in ["--host", "--port", "--backend-store-uri", "--static-prefix", "MLFLOW_PORT"] {
        assert!(help.contains(flag), "{flag}");
    }
    assert!(!help.contains("-variable"), "{help}");
}

/// A server on a free port, ended with the test.
struct Server {
    child: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = program(dir.path(), &["server", "--port", "0"]).args(args).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the server ended at its start");
            if let Some((_, address)) = line.trim_end().split_once("listening at http://") {
                break address.split('/').next().unwrap().to_owned();
            }
        };
        // An unread log pipe blocks the server.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, address, _dir: dir }
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "{request}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks the server to stop and returns its exit code and how long that took.
    fn stop(&mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        (self.child.wait().unwrap().code(), start.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if it has already exited.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn request(head: &str, body: &str) -> String {
    let mut text = format!("{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if !body.is_empty() {
        let _ = write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    text + "\r\n" + body
}

#[test]
fn heads_have_no_body_and_wrong_methods_say_what_is_right() {
    let server = Server::start(&[]);
    let (head, body) = split(&server.ask(&request("HEAD /health", "")));
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-length: 2"), "{head}");
    assert_eq!(body, "");
    let (head, _) = split(&server.ask(&request("DELETE /api/2.0/mlflow/runs/log-metric", "")));
    assert!(head.starts_with("HTTP/1.1 405") && head.contains("allow: options, post"), "{head}");
}

fn split(answer: &str) -> (String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase().replace("http/1.1", "HTTP/1.1"), body.to_owned())
}

#[test]
fn stops_soon_although_idle_connections_are_open() {
    let mut server = Server::start(&[]);
    let mut idle = TcpStream::connect(&server.address).unwrap();
    write!(idle, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut buffer = [0; 64];
    assert!(idle.read(&mut buffer).unwrap() > 0);
    let (code, took) = server.stop();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn finishes_the_request_that_is_open_when_it_is_asked_to_stop() {
    let mut server = Server::start(&[]);
    let body = r#"{"name": "late"}"#;
    let text = request("POST /api/2.0/mlflow/experiments/create", body)
        .replace("Connection: close", "Connection: close\r\nExpect: 100-continue");
    let (head, body) = text.split_at(text.len() - body.len());
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // The server has read the head and waits for the body.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let body = body.to_owned();
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let (code, _) = server.stop();
    let answer = late.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("experiment_id"), "{answer}");
    assert_eq!(code, Some(0));
}
