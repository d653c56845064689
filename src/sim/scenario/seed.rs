//! The seed of a scenario in TOML. TOML integers are signed and end at 2^63 - 1, so a greater seed
//! is written as text.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(seed: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    match i64::try_from(*seed) {
        Ok(number) => serializer.serialize_i64(number),
        Err(_) => serializer.serialize_str(&seed.to_string()),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(SeedVisitor)
}

struct SeedVisitor;

impl Visitor<'_> for SeedVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a seed from 0 to {}, as a number or as text such as \"{}\"", u64::MAX, u64::MAX)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::sim::Race;
    use crate::sim::scenario::Scenario;

    const TEXT: &str = "name = \"x\"\nworkload.operations = 1\nseed = ";

    fn read(seed: &str) -> Result<u64, String> {
        Scenario::from_toml(&format!("{TEXT}{seed}")).map(|it| it.seed).map_err(|error| error.to_string())
    }

    proptest! {
        /// Half of all seeds are beyond the integers of TOML.
        #[test]
        fn every_seed_survives_a_file(seed: u64) {
            let scenario = Race { seed, ..Race::default() }.scenario();
            prop_assert_eq!(Scenario::from_toml(&scenario.to_toml()).unwrap(), scenario);
        }
    }

    #[test]
    fn the_bounds_survive_a_file() {
        for seed in [0, i64::MAX as u64, 1 << 63, u64::MAX] {
            let text = Race { seed, ..Race::default() }.scenario().to_toml();
            assert_eq!(Scenario::from_toml(&text).unwrap().seed, seed, "{text}");
        }
    }

    #[test]
    fn a_seed_is_a_number_or_a_text() {
        assert_eq!(read("7"), Ok(7));
        assert_eq!(read("\"7\""), Ok(7));
        assert_eq!(read("9223372036854775808"), Ok(1 << 63));
        assert_eq!(read("\"18446744073709551615\""), Ok(u64::MAX));
        for wrong in ["-1", "\"-1\"", "\"18446744073709551616\"", "18446744073709551616", "\"\"", "1.5", "true", "[]"] {
            let error = read(wrong).expect_err(wrong);
            assert!(error.contains("a seed from 0 to 18446744073709551615"), "{wrong}: {error}");
            assert!(error.contains("seed = "), "{wrong}: {error}");
        }
    }
}
