use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// What the first panic of this thread said; the outer `None` where nobody listens.
    static FIRST: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

/// Notes from now on what the first panic of this thread says, and where it was. A panic of a node's task comes out of the
/// simulation as another one, of the runtime, which says nothing of the first.
pub(super) fn listen() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            FIRST.with_borrow_mut(|first| {
                if let Some(heard) = first {
                    heard.get_or_insert_with(|| describe(info));
                }
            });
            previous(info);
        }));
    });
    FIRST.set(Some(None));
}

/// What was noted in this thread.
pub(super) fn heard() -> Option<String> {
    FIRST.take().flatten()
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let said = info.payload_as_str().unwrap_or("a panic without words");
    match info.location() {
        None => said.to_owned(),
        Some(at) => format!("{said} (at {}:{})", at.file(), at.line()),
    }
}
