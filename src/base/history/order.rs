use std::collections::BTreeMap;

use super::{Moment, Operation};

/// An operation with the number of its line.
type Numbered = (usize, Operation);

/// Whether these operations can be of one history: each is there once, and their moments are in one order, in which time
/// does not go back.
///
/// # Errors
/// The number of the line that shows it, and what is wrong.
pub(super) fn require_one_order(operations: &[Numbered]) -> Result<(), (usize, String)> {
    let mut lines = BTreeMap::new();
    for (line, operation) in operations {
        if let Some(first) = lines.insert((operation.client, operation.number), line) {
            return Err((*line, format!("{} again: line {first} has it already", operation.name())));
        }
    }
    let moments = |(line, operation): &Numbered| {
        let name = operation.name();
        let invoked = (operation.invoked, *line, format!("{name} is invoked"));
        let returned = operation.returned.map(|returned| (returned, *line, format!("{name} returns")));
        [Some(invoked), returned].into_iter().flatten()
    };
    let mut moments: Vec<(Moment, usize, String)> = operations.iter().flat_map(moments).collect();
    moments.sort_by_key(|(moment, line, _)| (moment.index, *line));
    for pair in moments.windows(2) {
        let [(before, first, one), (after, line, other)] = pair else { continue };
        if before.index == after.index {
            let problem = format!("{other} at place {} of the order, where line {first} has: {one}", after.index);
            return Err((*line, problem));
        }
        if before.at > after.at {
            let (at, before) = (after.at.0, before.at.0);
            let problem =
                format!("{other} at {at} µs, before {before} µs, when {one} (line {first}) earlier in the order");
            return Err((*line, problem));
        }
    }
    Ok(())
}
