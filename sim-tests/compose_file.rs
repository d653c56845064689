//! The settings of the containers: `.env` has the defaults that docker-compose.yml has, so that a setting has one default
//! whether or not the file is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn text_of(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn both_files_have_the_same_defaults() {
    let compose = text_of("docker-compose.yml");
    let used = compose.split("${").skip(1).map(|rest| rest.split_once('}').expect("a variable ends").0);
    let used: BTreeMap<&str, &str> = used.map(|variable| variable.split_once(":-").expect("a default")).collect();
    let env = text_of(".env");
    let settings = env.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let settings: BTreeMap<&str, &str> = settings.map(|line| line.split_once('=').expect("NAME=value")).collect();
    assert_eq!(settings, used, "left: .env; right: docker-compose.yml");
    assert_eq!(used["WRITE_QUORUM"], "1");
}

/// A follower is not ready before a leader has brought it up to date: a leader that waited for it would wait for ever.
#[test]
fn no_service_waits_for_the_health_of_another_one() {
    let compose = text_of("docker-compose.yml");
    assert!(compose.contains(r#"test: ["CMD", "semisync", "health", "--ready"]"#), "healthy means ready");
    for waits in ["depends_on:", "restart:"] {
        assert!(!compose.contains(waits), "{waits}");
    }
    assert!(text_of("Dockerfile").contains(r#"CMD ["semisync", "health"]"#), "the image's check needs no other node");
}
