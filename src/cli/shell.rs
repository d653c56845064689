use std::path::Path;

/// A path as it is typed in a POSIX shell: quoted where it has blanks or other characters that mean something there.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    // What begins with a hyphen would be taken for a flag.
    let text = if text.starts_with('-') { format!("./{text}") } else { text };
    match shlex::try_quote(&text) {
        Ok(quoted) => quoted.into_owned(),
        // No path has the one character that cannot be quoted, a zero.
        Err(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_it_is_quoted() {
        for (path, typed) in [
            ("swarm-failures/seed-5.toml", "swarm-failures/seed-5.toml"),
            ("a b/x y.toml", "'a b/x y.toml'"),
            ("it's.toml", "\"it's.toml\""),
            ("-x.toml", "./-x.toml"),
        ] {
            assert_eq!(quoted(Path::new(path)), typed);
        }
    }
}
