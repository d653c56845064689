use std::fmt::Write as _;
use std::path::Path;

use semisync::base::Visible;

/// A path as it is typed in a POSIX shell: quoted where it has blanks or other characters that mean something there.
/// Control characters become escapes in `$'…'`, so that the command can be printed and copied.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    // What begins with a hyphen would be taken for a flag.
    let text = if text.starts_with('-') { format!("./{text}") } else { text };
    if text.contains(Visible::is_control) {
        return with_escapes(&text);
    }
    match shlex::try_quote(&text) {
        Ok(quoted) => quoted.into_owned(),
        // No path has the one character that cannot be quoted, a zero.
        Err(_) => text,
    }
}

fn with_escapes(text: &str) -> String {
    let mut quoted = "$'".to_owned();
    for character in text.chars() {
        match character {
            '\\' | '\'' => quoted.extend(['\\', character]),
            _ if Visible::is_control(character) => {
                let mut bytes = [0; 4];
                // Octal, because its length is fixed: what follows cannot become a part of it.
                let escape = |byte: &u8| write!(quoted, "\\{byte:03o}").expect("memory has room");
                character.encode_utf8(&mut bytes).as_bytes().iter().for_each(escape);
            }
            _ => quoted.push(character),
        }
    }
    quoted + "'"
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
            ("a\n\u{1b}[1m'\u{9b}", "$'a\\012\\033[1m\\'\\302\\233'"),
        ] {
            assert_eq!(quoted(Path::new(path)), typed);
        }
    }
}
