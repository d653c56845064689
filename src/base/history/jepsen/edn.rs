//! Lines in EDN, the notation of Clojure in which Jepsen itself keeps histories, as JSON.
//!
//! Maps, vectors, lists, sets, strings, numbers, `nil`, booleans and keywords; tags are passed over. A keyword becomes a
//! text: with its colon as a value, without it as a key of a map.

/// The deepest nesting that is read. The reader is recursive.
const MAX_DEPTH: usize = 64;

/// Whether a line is a map in EDN rather than an object in JSON: its first key is a keyword.
pub(in crate::base) fn is_edn(line: &str) -> bool {
    let Some(inside) = untagged(line.trim_start()).strip_prefix('{') else { return false };
    inside.trim_start_matches(is_space).starts_with(':')
}

/// Without a tag, such as `#jepsen.history.Op`.
fn untagged(text: &str) -> &str {
    match text.strip_prefix('#') {
        Some(tag) if !tag.starts_with('{') => &tag[tag.find(['{', '[', '(', ' ']).unwrap_or(tag.len())..],
        _ => text,
    }
}

/// Translates a line into JSON.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn to_json(line: &str) -> Result<String, String> {
    let mut reader = Reader { rest: line, json: String::with_capacity(line.len()) };
    reader.value(0)?;
    reader.skip_space();
    match reader.rest {
        "" => Ok(reader.json),
        rest => Err(format!("{:?} after the end of the map", first_word(rest))),
    }
}

fn is_space(character: char) -> bool {
    character.is_whitespace() || character == ','
}

fn is_end(character: char) -> bool {
    is_space(character) || "{}[]()\"".contains(character)
}

fn first_word(text: &str) -> &str {
    let end = text.char_indices().skip(1).find(|(_, character)| is_end(*character));
    &text[..end.map_or(text.len(), |(at, _)| at)]
}

struct Reader<'a> {
    rest: &'a str,
    json: String,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches(is_space);
    }

    fn value(&mut self, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.skip_space();
        self.rest = untagged(self.rest);
        self.skip_space();
        match self.rest.chars().next() {
            None => Err("the line ends within a map".into()),
            Some('{') => self.map(depth),
            Some('[') => self.list(depth, "[", ']'),
            Some('(') => self.list(depth, "(", ')'),
            Some('#') => self.list(depth, "#{", '}'),
            Some('"') => self.text(),
            Some(_) => self.atom(false),
        }
    }

    fn map(&mut self, depth: usize) -> Result<(), String> {
        self.rest = &self.rest[1..];
        self.json.push('{');
        let mut is_first = true;
        while !self.ends('}')? {
            if !std::mem::take(&mut is_first) {
                self.json.push(',');
            }
            match self.rest.starts_with('"') {
                true => self.text()?,
                false => self.atom(true)?,
            }
            self.json.push(':');
            self.value(depth + 1)?;
        }
        self.json.push('}');
        Ok(())
    }

    fn list(&mut self, depth: usize, open: &str, close: char) -> Result<(), String> {
        self.rest = self.rest.strip_prefix(open).unwrap_or_default();
        self.json.push('[');
        let mut is_first = true;
        while !self.ends(close)? {
            if !std::mem::take(&mut is_first) {
                self.json.push(',');
            }
            self.value(depth + 1)?;
        }
        self.json.push(']');
        Ok(())
    }

    /// Whether the end of a map or list comes next, and passes it.
    fn ends(&mut self, close: char) -> Result<bool, String> {
        self.skip_space();
        match self.rest.strip_prefix(close) {
            Some(rest) => {
                self.rest = rest;
                Ok(true)
            }
            None if self.rest.is_empty() => Err(format!("the line ends before {close:?}")),
            None => Ok(false),
        }
    }

    /// A text, whose escapes are those of JSON.
    fn text(&mut self) -> Result<(), String> {
        let mut is_escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, character)| {
            let ends = *character == '"' && !is_escaped;
            is_escaped = *character == '\\' && !is_escaped;
            ends
        });
        let (end, _) = end.ok_or("the line ends within a text")?;
        self.json.push_str(&self.rest[..=end]);
        self.rest = &self.rest[end + 1..];
        Ok(())
    }

    /// A number, a keyword, or a name; as a key of a map always a text.
    fn atom(&mut self, is_key: bool) -> Result<(), String> {
        let word = first_word(self.rest);
        self.rest = &self.rest[word.len()..];
        let is_integer = |text: &str| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        // Clojure marks integers without a bound with an N.
        let integer = word.strip_suffix('N').unwrap_or(word);
        let json = match word {
            _ if is_key => serde_json::to_string(word.strip_prefix(':').unwrap_or(word)),
            "nil" => Ok("null".into()),
            "true" | "false" => Ok(word.into()),
            _ if is_integer(integer) => Ok(integer.into()),
            _ if word.parse::<f64>().is_ok_and(f64::is_finite) => Ok(word.into()),
            _ if word.starts_with(|character: char| character == ':' || character.is_alphabetic()) => {
                serde_json::to_string(word)
            }
            _ => return Err(format!("{word:?} is not a value of EDN that is read here")),
        };
        self.json.push_str(&json.map_err(|error| error.to_string())?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_jepsen_becomes_json() {
        for (edn, json) in [
            (
                "{:type :invoke, :f :write, :value [0 3], :time 12, :process 1, :index 0}",
                r#"{"type":":invoke","f":":write","value":[0,3],"time":12,"process":1,"index":0}"#,
            ),
            (
                "#jepsen.history.Op{:process :nemesis :f :start :value nil :error [:a \"b \\\" c\" {:x #{1 2}}]}",
                r#"{"process":":nemesis","f":":start","value":null,"error":[":a","b \" c",{"x":[1,2]}]}"#,
            ),
            ("{:value #jepsen.independent/tuple [5N nil], :t -1.5e3 }", r#"{"value":[5,null],"t":-1.5e3}"#),
            ("{\"a\" (1 true sym)}", r#"{"a":[1,true,"sym"]}"#),
        ] {
            assert_eq!(to_json(edn).as_deref(), Ok(json));
            assert!(serde_json::from_str::<serde_json::Value>(json).is_ok());
        }
        assert!(is_edn("{:type :ok}") && is_edn(" #a.B{ :type :ok}"));
        assert!(!is_edn("{\"type\":1}") && !is_edn("") && !is_edn("[:a]"));
    }

    #[test]
    fn what_is_not_read_is_named() {
        for (edn, says) in [
            ("{:a 1", "the line ends before '}'"),
            ("{:a", "the line ends within a map"),
            ("{:a \"b}", "the line ends within a text"),
            ("{:a 1/2}", "\"1/2\" is not a value of EDN"),
            ("{:a 1} {:b 2}", "\"{:b\" after the end of the map"),
            (&format!("{{:a {}", "[".repeat(100)), "nested deeper than 64 levels"),
        ] {
            let problem = to_json(edn).expect_err(edn);
            assert!(problem.starts_with(says), "{problem}");
        }
    }
}
