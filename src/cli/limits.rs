use std::num::NonZeroUsize;
use std::time::Duration;

/// How many of something there may be: one at least.
pub(super) fn parse_count(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().map_err(|_| "must be a whole number, 1 or more")
}

/// `90s`, `10m` or `1h 30m`: some time.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| format!("{error}; write 90s, 10m or 1h 30m"))?;
    const LONGEST: Duration = Duration::from_secs(365 * 86_400);
    if time.is_zero() || time > LONGEST {
        return Err("must be longer than nothing and at most 365 days".into());
    }
    Ok(time)
}
