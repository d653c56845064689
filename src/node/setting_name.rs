use std::fmt;

/// A setting that cannot be used. Its text names the variable or the flag, its value and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}{}{value:?}: {problem}", .name.separator())]
pub struct ConfigError {
    pub(super) name: SettingName,
    pub(super) value: String,
    pub(super) problem: String,
}

/// The name by which a setting was given: `WRITE_QUORUM` or `--write-quorum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SettingName {
    /// The environment variable; the flag follows from it.
    pub(super) variable: &'static str,
    /// Whether the flag was given.
    pub(super) is_flag: bool,
}

impl SettingName {
    /// Returns what stands between the name and its value.
    pub(super) fn separator(self) -> char {
        if self.is_flag { ' ' } else { '=' }
    }

    /// Returns the name of another setting that was not given, in the same form.
    pub(super) fn like(self, variable: &'static str) -> Self {
        Self { variable, ..self }
    }
}

impl fmt::Display for SettingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_flag {
            write!(f, "--{}", self.variable.to_lowercase().replace('_', "-"))
        } else {
            f.write_str(self.variable)
        }
    }
}
