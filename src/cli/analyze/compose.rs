use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use semisync::client::Cluster;
use semisync::net::Tcp;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::cli::Failure;

/// How long the leader may take to be ready after it was started anew.
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// Starts the leader anew with this quorum, as the README documents, and waits until it is ready.
pub(super) async fn restart_leader(file: Option<&Path>, quorum: usize, cluster: &Cluster<Tcp>) -> Result<(), Failure> {
    let mut words = compose().await?;
    words.extend(file.iter().flat_map(|file| ["-f".into(), file.as_os_str().to_owned()]));
    words.extend(["up", "-d", "--force-recreate", "--no-deps", "leader"].map(OsString::from));
    let (program, arguments) = words.split_first().expect("there is a program");
    let output = Command::new(program)
        .args(arguments)
        .env("WRITE_QUORUM", quorum.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| Failure::Failed(format!("{}: {error}", program.display())))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let words: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        return Err(Failure::Failed(format!("Compose could not start the leader anew: {}", words.join("; "))));
    }
    let leader = cluster.address(semisync::base::NodeRef::Leader);
    let began = Instant::now();
    loop {
        let last = match cluster.client().ready(leader).await {
            Ok(ready) if ready.ready => return Ok(()),
            Ok(ready) => ready.detail,
            Err(error) => error.to_string(),
        };
        if began.elapsed() > READY_DEADLINE {
            return Err(Failure::Failed(format!("the leader is not ready after {READY_DEADLINE:?}: {last}")));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// `docker compose` where there is one, else `docker-compose`.
async fn compose() -> Result<Vec<OsString>, Failure> {
    for words in [&["docker", "compose"][..], &["docker-compose"]] {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("version");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if command.status().await.is_ok_and(|status| status.success()) {
            return Ok(words.iter().map(OsString::from).collect());
        }
    }
    Err(Failure::Failed("neither `docker compose` nor `docker-compose` answers; is Docker installed?".into()))
}
