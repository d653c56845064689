use std::iter::Peekable;
use std::slice;

use crate::base::history::{History, Moment, Operation};

/// Something that a client does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call<'a> {
    /// It calls a node.
    Invoked(&'a Operation),
    /// The call ends, at this moment.
    Returned(&'a Operation, Moment),
}

/// The invocations and returns of a history in their order.
pub(super) struct Calls<'a>(Vec<(Moment, Call<'a>)>);

impl<'a> Calls<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut calls = Vec::with_capacity(2 * history.operations.len());
        for operation in &history.operations {
            calls.push((operation.invoked, Call::Invoked(operation)));
            calls.extend(operation.returned.map(|moment| (moment, Call::Returned(operation, moment))));
        }
        calls.sort_by_key(|(moment, _)| *moment);
        Self(calls)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Call<'a>> {
        self.0.iter().map(|(_, call)| *call)
    }

    pub(super) fn walk(&self) -> CallsBeside<'_, 'a> {
        CallsBeside(self.0.iter().peekable())
    }
}

/// The same, for a checker to walk through beside the records of the run, if there are any.
pub(super) struct CallsBeside<'r, 'a>(Peekable<slice::Iter<'r, (Moment, Call<'a>)>>);

impl<'a> CallsBeside<'_, 'a> {
    /// The next call, if it is made no later than the record at this place.
    pub(super) fn next_until(&mut self, place: usize) -> Option<Call<'a>> {
        self.0.next_if(|(moment, _)| moment.index <= place).map(|(_, call)| *call)
    }
}
