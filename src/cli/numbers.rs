use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Returns a parser of whole numbers in a range. Its error names the range.
pub(super) fn whole<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.trim().parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
    }
}

/// Returns a parser of any seed.
pub(super) fn seed() -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    whole(0..=u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_range_whatever_was_typed() {
        let parse = whole::<u16>(1..=128);
        assert_eq!((parse("1"), parse(" 128 ")), (Ok(1), Ok(128)));
        for wrong in ["0", "129", "70000", "-1", "1.5", "five", ""] {
            assert_eq!(parse(wrong), Err("must be a whole number from 1 to 128".to_owned()), "{wrong}");
        }
        assert_eq!(seed()("18446744073709551615"), Ok(u64::MAX));
        assert!(seed()("18446744073709551616").is_err());
    }
}
