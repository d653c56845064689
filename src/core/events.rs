use crate::base::trace::Event;

/// Takes what happens in a state machine. Events are made only if somebody takes them.
pub trait EventSink {
    /// Takes an event.
    fn add(&mut self, event: impl FnOnce() -> Event);

    /// Takes several events.
    fn add_all<I: Iterator<Item = Event>>(&mut self, events: impl FnOnce() -> I);
}

impl EventSink for Vec<Event> {
    fn add(&mut self, event: impl FnOnce() -> Event) {
        self.push(event());
    }

    fn add_all<I: Iterator<Item = Event>>(&mut self, events: impl FnOnce() -> I) {
        self.extend(events());
    }
}

/// Takes no events.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvents;

impl EventSink for NoEvents {
    fn add(&mut self, _: impl FnOnce() -> Event) {}

    fn add_all<I: Iterator<Item = Event>>(&mut self, _: impl FnOnce() -> I) {}
}
