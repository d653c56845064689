/// `0..1000`, or one number for both: milliseconds.
pub(super) fn parse_delay(text: &str) -> Result<(u64, u64), String> {
    const LONGEST: u64 = 3_600_000;
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.trim().parse().ok().filter(|ms| *ms <= LONGEST);
    match (number(min), number(max)) {
        (Some(min), Some(max)) if min <= max => Ok((min, max)),
        (Some(min), Some(max)) => Err(format!("the shortest delay, {min}, is above the longest, {max}")),
        _ => Err(format!("must be two numbers of milliseconds up to {LONGEST}, such as 0..1000, or one for both")),
    }
}
