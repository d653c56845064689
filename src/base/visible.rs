use std::fmt::{self, Write as _};

/// Text for people: its `Display` escapes control characters, such as `\u{1b}`, so that a name can neither move a
/// terminal's cursor nor break a line. All other characters stay as they are.
#[derive(Debug, Clone, Copy)]
pub struct Visible<'a>(pub &'a str);

impl Visible<'_> {
    /// Returns whether a terminal may act on the character instead of showing it: control characters, and those that
    /// reverse the order of text.
    pub fn is_control(character: char) -> bool {
        character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    }
}

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.contains(Self::is_control) {
            return f.write_str(self.0);
        }
        for character in self.0.chars() {
            if Self::is_control(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_nothing_else_is() {
        for (text, shown) in [
            ("k1", "k1"),
            ("schlüssel \\ 'x' 鍵", "schlüssel \\ 'x' 鍵"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\nb\rc\td", "a\\nb\\rc\\td"),
            ("\u{7f}\u{9b}\u{202e}\0", "\\u{7f}\\u{9b}\\u{202e}\\u{0}"),
        ] {
            assert_eq!(Visible(text).to_string(), shown);
        }
    }
}
