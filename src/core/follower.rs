use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::mem;
use std::ops::Bound;

use super::ask::{
    Answer, Ask, Configuration, Deletion, Identity, Incarnation, Item, Last, Promise, Question, Said, SnapshotId,
    Standing,
};
use super::digest::Summary;
use super::events::EventSink;
use super::store::{Applied, Entry, Store};
use super::{LeaderId, Rules};
use crate::base::trace::Event;
use crate::base::{Epoch, Key, Stamp, Value, Version};

/// The follower's side of the protocol: it stores what is newer and tells the rest apart, takes writes of the leader only
/// to which it has promised its epoch, and knows that it may have forgotten everything.
///
/// - To read: [`Follower::get`], [`Follower::store`], [`Follower::standing`].
/// - To feed: [`Follower::replicate`] and [`Follower::ask`], whose results are the answers to the leader;
///   [`Follower::replicate_by_hand`] for a write that comes from no leader.
#[derive(Debug, Clone)]
pub struct Follower {
    store: Store,
    /// Writes that came from no leader, over what the leader's say.
    by_hand: BTreeMap<Key, Entry>,
    incarnation: Incarnation,
    standing: Standing,
    /// Invariant: its epoch never goes down.
    promised: Promise,
    /// The configurations under which something may have been acknowledged that this follower must help to recover: those that
    /// the leader which brought it up to date knew of, its own among them. Those before the last completed recovery are
    /// history. That of a leader which has only been promised an epoch is not among them: no leader serves before enough
    /// members of the earlier configurations have been brought up to date under its own.
    configurations: Vec<Configuration>,
    /// Everything up to this stamp that is not here was deleted; see `leader/collect.rs`.
    floor: Option<Stamp>,
    /// The last of the promised leader's rounds of collecting deletions that this follower was told of.
    collected: u64,
    /// The last epoch in which a leader has brought it up to date.
    current_in: Epoch,
    staged: Option<Staged>,
    rules: Rules,
}

/// The parts of a snapshot that have come.
#[derive(Debug, Clone, Hash)]
struct Staged {
    snapshot: SnapshotId,
    /// How many parts.
    parts: u64,
    store: Store,
    /// The earliest epoch of an entry in it; none as long as it is empty.
    oldest: Option<Epoch>,
    /// Whether it has been installed.
    installed: bool,
}

/// The most bytes of keys and values of a page or part. A single entry may be larger, and is then alone in it.
pub(super) const PART_BYTES: usize = 256 << 10;
/// The most keys of a page, whatever is asked for.
const MOST_KEYS: usize = 1024;

impl Follower {
    /// A follower that has just started, with an empty store. A node without a disk cannot tell its first start from one
    /// that follows a crash, so it begins as one that may have forgotten everything.
    pub fn new(incarnation: Incarnation, rules: Rules) -> Self {
        Self {
            store: Store::default(),
            by_hand: BTreeMap::new(),
            incarnation,
            standing: if rules.start_recovering { Standing::Recovering } else { Standing::Normal },
            promised: Promise::default(),
            configurations: Vec::new(),
            floor: None,
            collected: 0,
            current_in: Epoch::ZERO,
            staged: None,
            rules,
        }
    }

    /// Feeds a hasher with everything that decides what the follower does next: two that feed the same do the same. What it has of a
    /// snapshot that is installed decides something only if parts of it may come again.
    pub fn hash_behaviour<H: Hasher>(&self, parts_may_come: bool, state: &mut H) {
        // What the rules are does not change.
        let Self { store, by_hand, incarnation, standing, promised, configurations, .. } = self;
        (store, by_hand, incarnation, standing, promised, configurations).hash(state);
        let Self { floor, collected, current_in, staged, rules: _, .. } = self;
        let staged = staged.as_ref().filter(|_| parts_may_come);
        (floor, collected, current_in, staged).hash(state);
    }

    /// What the follower stores of its leader's writes.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What a reader finds: what was written by hand, until the leader writes the key.
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.entry(key).filter(|entry| !entry.is_tombstone())
    }

    /// The same, and be it a tombstone.
    pub fn entry(&self, key: &Key) -> Option<&Entry> {
        self.by_hand.get(key).or_else(|| self.store.entry(key))
    }

    /// The entries of the keys after this one, or of all, in order, tombstones included.
    pub fn after(&self, key: Option<&Key>) -> impl Iterator<Item = (&Key, &Entry)> {
        let start = key.map_or(Bound::Unbounded, Bound::Excluded);
        let mut by_hand = self.by_hand.range::<Key, _>((start, Bound::Unbounded)).peekable();
        let mut stored = self.store.after(key).peekable();
        std::iter::from_fn(move || {
            let first_by_hand = match (by_hand.peek(), stored.peek()) {
                (Some((written, _)), Some((key, _))) => {
                    if written == key {
                        stored.next();
                        true
                    } else {
                        written < key
                    }
                }
                (written, _) => written.is_some(),
            };
            if first_by_hand { by_hand.next() } else { stored.next() }
        })
    }

    /// How many keys a reader can find.
    pub fn len(&self) -> usize {
        let shows = |key: &Key| usize::from(self.get(key).is_some());
        let (with, without) = self.by_hand.keys().fold((0, 0), |(with, without), key| {
            (with + shows(key), without + usize::from(self.store.get(key).is_some()))
        });
        self.store.len() + with - without
    }

    /// Whether a reader finds nothing at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to which version everything that is not here was deleted; none if nothing was, as far as is known here.
    pub fn floor(&self) -> Option<Version> {
        self.floor.map(|floor| floor.version)
    }

    /// Whether its memory can be relied on.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Which of its lives this is, and whether its memory can be relied on.
    pub fn identity(&self) -> Identity {
        Identity { incarnation: self.incarnation, standing: self.standing }
    }

    /// What it has promised.
    pub fn promised(&self) -> Promise {
        self.promised
    }

    /// A leader's write has arrived. It is applied if and only if its stamp is greater than the one that the key has, and
    /// its epoch is the one that is promised to this leader.
    pub fn replicate(&mut self, leader: LeaderId, key: &Key, entry: Entry) -> Applied {
        let promise = Promise { epoch: entry.stamp.epoch, leader };
        if self.rules.refuse_deposed && (promise != self.promised || promise.epoch == Epoch::ZERO) {
            return Applied::Fenced { promised: self.promised.epoch };
        }
        self.by_hand.remove(key);
        if self.rules.compare_stamps {
            return self.take(key, entry);
        }
        self.store.overwrite(key, entry);
        Applied::Yes
    }

    /// Stores what is newer than what the key has. What a key that is not there had up to the floor was deleted.
    fn take(&mut self, key: &Key, entry: Entry) -> Applied {
        match self.floor.filter(|floor| entry.stamp <= *floor && self.store.entry(key).is_none()) {
            Some(stored) => Applied::Stale { stored },
            None => self.store.apply(key, entry),
        }
    }

    /// A write has arrived that comes from no leader. It is kept over what the leader wrote, if its version is greater than
    /// the one that a reader finds, until the leader writes the key again; no leader ever learns of it.
    pub fn replicate_by_hand(&mut self, key: &Key, version: Version, value: Option<Value>) -> Applied {
        match self.entry(key).map(|entry| entry.stamp) {
            Some(stored) if stored.version >= version && self.rules.compare_stamps => Applied::Stale { stored },
            _ => {
                let stamp = Stamp { epoch: Epoch::ZERO, version };
                self.by_hand.insert(key.clone(), Entry::new(stamp, value));
                Applied::Yes
            }
        }
    }

    /// A leader asks something. What changes by it is added to `events`.
    pub fn ask(&mut self, ask: &Ask, events: &mut impl EventSink) -> Answer {
        let promise = Promise { epoch: ask.epoch, leader: ask.leader };
        let said = match &ask.question {
            Question::Fence => self.fence(promise, events),
            _ if promise != self.promised || promise.epoch == Epoch::ZERO => Said::Refused,
            Question::Probe { recovered, buckets } => {
                if let Some(configuration) = recovered {
                    self.configurations = vec![configuration.clone()];
                }
                let buckets = buckets.then(|| self.store.buckets().clone());
                Said::Here { summary: self.store.shown(), buckets }
            }
            Question::Pull { incarnation, .. }
            | Question::Push { incarnation, .. }
            | Question::Adopt { incarnation, .. }
            | Question::Forget { incarnation, .. }
                if *incarnation != self.incarnation =>
            {
                Said::Refused
            }
            Question::Pull { after, keys, .. } => self.page(after.as_ref(), (*keys).min(MOST_KEYS)),
            Question::Push { snapshot, part, as_of, entries, last, .. } => {
                self.take_part((*snapshot, *part), *as_of, entries, last.as_ref(), events)
            }
            Question::Adopt { from, configurations, floor, .. } => self.adopt(*from, configurations, *floor, events),
            Question::Forget { deletions, round, floor, .. } => {
                self.collected = self.collected.max(*round);
                self.forget(deletions, *floor, events)
            }
        };
        Answer { incarnation: self.incarnation, standing: self.standing, promised: self.promised, said }
    }

    /// An epoch is promised if it is greater than the one that is, or if it is that one, of the same leader.
    fn fence(&mut self, promise: Promise, events: &mut impl EventSink) -> Said {
        let is_new = promise.epoch > self.promised.epoch;
        if !is_new && promise != self.promised {
            return Said::Refused;
        }
        self.promised = promise;
        if is_new {
            events.add(|| Event::Promise { epoch: promise.epoch, leader: promise.leader.0 });
            self.staged = None;
            // Another leader numbers its rounds from 1.
            self.collected = 0;
            // What came before it was brought up to date says nothing, and a leader may have left behind in it what it
            // had acknowledged to nobody.
            if self.standing == Standing::Recovering {
                let store = std::mem::take(&mut self.store);
                events.add_all(|| {
                    store.entries().map(|(key, entry)| Event::Discard { key: key.clone(), stamp: entry.stamp })
                });
            }
        }
        Said::Promised {
            configurations: self.configurations.clone(),
            summary: self.store.summary(),
            floor: self.floor(),
            current_in: self.current_in,
        }
    }

    fn page(&self, after: Option<&Key>, most_keys: usize) -> Said {
        let (entries, more) = page(&self.store, after, most_keys);
        Said::Page { entries, more }
    }

    /// A part of a snapshot. It is kept aside until all are there: what came of another leader, or of one that crashed in
    /// the middle, must not show.
    fn take_part(
        &mut self,
        (snapshot, part): (SnapshotId, u64),
        as_of: u64,
        entries: &[Item],
        last: Option<&Last>,
        events: &mut impl EventSink,
    ) -> Said {
        if part == 0 && self.staged.as_ref().is_none_or(|staged| staged.snapshot != snapshot) {
            self.staged = Some(Staged { snapshot, parts: 0, store: Store::default(), oldest: None, installed: false });
        }
        let Some(staged) = self.staged.as_mut().filter(|staged| staged.snapshot == snapshot) else {
            return Said::Again;
        };
        // One that comes again has been taken before.
        let is_new = staged.parts == part;
        if is_new {
            staged.parts += 1;
            for (key, entry) in entries.iter().cloned().map(Item::into_entry) {
                let epoch = entry.stamp.epoch;
                staged.oldest = Some(staged.oldest.map_or(epoch, |oldest| oldest.min(epoch)));
                staged.store.overwrite(&key, entry);
            }
        }
        let Some(last) = last else {
            if is_new {
                events.add(|| Event::Stage { epoch: self.promised.epoch, parts: staged.parts });
            }
            return Said::Taken;
        };
        if staged.installed {
            return Said::Installed;
        }
        if part.checked_add(1) != Some(staged.parts) || staged.store.summary() != last.summary {
            self.staged = None;
            return Said::Again;
        }
        staged.installed = true;
        let (snapshot, oldest) = (mem::take(&mut staged.store), staged.oldest);
        // A snapshot that began before a round of collecting deletions may hold what they deleted. One that began later holds
        // nothing of the kind: a key of it that is not stored here was lost.
        let is_recent = as_of >= self.collected;
        if self.store.summary().keys == 0 && (is_recent || self.floor.is_none()) {
            self.replace_store(snapshot, oldest, events);
        } else {
            self.merge(snapshot, is_recent, last.floor, events);
        }
        self.raise_floor(last.floor);
        self.recovered(&last.configurations, events);
        Said::Installed
    }

    /// Takes a snapshot for the store, which has nothing. It takes no longer for many keys than for few, unless somebody is told of
    /// each.
    fn replace_store(&mut self, snapshot: Store, oldest: Option<Epoch>, events: &mut impl EventSink) {
        self.by_hand.retain(|key, _| snapshot.entry(key).is_none());
        self.store = snapshot;
        events.add_all(|| self.store.entries().map(stored));
        if oldest.is_some_and(|oldest| oldest < self.promised.epoch) {
            self.discard_leftovers(events);
        }
    }

    /// Merges a snapshot into the store by stamp: writes that arrived meanwhile may be newer.
    fn merge(&mut self, snapshot: Store, is_recent: bool, floor: Option<Version>, events: &mut impl EventSink) {
        // What is neither in the snapshot nor above the floor is a late copy of something that was deleted.
        if let Some(version) = floor {
            let floor = Stamp { epoch: self.promised.epoch, version };
            self.discard(|key, entry| entry.stamp <= floor && snapshot.entry(key).is_none(), events);
        }
        for (key, entry) in snapshot.entries() {
            self.by_hand.remove(key);
            let applied = if is_recent { self.store.apply(key, entry.clone()) } else { self.take(key, entry.clone()) };
            if applied == Applied::Yes {
                events.add(|| stored((key, entry)));
            }
        }
        self.discard_leftovers(events);
    }

    fn adopt(
        &mut self,
        from: Summary,
        configurations: &[Configuration],
        floor: Option<Version>,
        events: &mut impl EventSink,
    ) -> Said {
        if self.store.summary() != from {
            return Said::Again;
        }
        if self.rules.restamp {
            self.store.restamp(self.promised.epoch);
            events.add_all(|| self.store.entries().map(stored));
        }
        self.by_hand.clear();
        self.raise_floor(floor);
        self.discard_leftovers(events);
        self.recovered(configurations, events);
        Said::Installed
    }

    /// Loses what is stored for a key without noticing, as failing memory would make it. For simulations. Returns the stamp
    /// that it had.
    pub fn lose(&mut self, key: &Key) -> Option<Stamp> {
        self.store.drop_those(|other, _| other == key).pop().map(|(_, entry)| entry.stamp)
    }

    /// All followers know of these deletions, and this one of all writes that were made before: nothing older can come back.
    fn forget(&mut self, deletions: &[Deletion], floor: Option<Version>, events: &mut impl EventSink) -> Said {
        self.raise_floor(floor);
        for Deletion { key, stamp } in deletions {
            if self.store.forget(key, *stamp) {
                events.add(|| Event::Collect { key: key.clone(), stamp: *stamp });
            }
        }
        Said::Forgotten
    }

    /// Everything of this epoch up to a version is stored here, or was deleted. The leader knows what was said when it was
    /// promised the epoch, so that it names no version below that.
    fn raise_floor(&mut self, version: Option<Version>) {
        self.floor = self.floor.max(version.map(|version| Stamp { epoch: self.promised.epoch, version }));
    }

    /// Gives up what this is true of.
    fn discard(&mut self, is: impl Fn(&Key, &Entry) -> bool, events: &mut impl EventSink) {
        let dropped = self.store.drop_those(is);
        events.add_all(|| dropped.into_iter().map(|(key, entry)| Event::Discard { key, stamp: entry.stamp }));
    }

    /// What is older than the leader's epoch was never acknowledged, for the leader would have it: it is not kept.
    fn discard_leftovers(&mut self, events: &mut impl EventSink) {
        // Without new stamps there is nothing to tell it by.
        if self.rules.drop_leftovers && self.rules.restamp {
            let epoch = self.promised.epoch;
            self.discard(|_, entry| entry.stamp.epoch < epoch, events);
        }
    }

    /// The store is what the leader's was.
    fn recovered(&mut self, configurations: &[Configuration], events: &mut impl EventSink) {
        self.current_in = self.promised.epoch;
        self.standing = Standing::Normal;
        self.configurations = configurations.to_vec();
        events.add(|| Event::Install { epoch: self.promised.epoch });
    }
}

fn stored((key, entry): (&Key, &Entry)) -> Event {
    Event::Apply { request: None, key: key.clone(), stamp: entry.stamp, value: entry.value.clone() }
}

/// A page of a store, and whether there is more.
pub(super) fn page(store: &Store, after: Option<&Key>, most_keys: usize) -> (Vec<Item>, bool) {
    let mut entries = Vec::new();
    let mut bytes = 0;
    for (key, entry) in store.after(after) {
        let size = key.as_str().len() + entry.size();
        if entries.len() == most_keys || (!entries.is_empty() && bytes + size > PART_BYTES) {
            return (entries, true);
        }
        bytes += size;
        entries.push(Item::new(key.clone(), entry.clone()));
    }
    (entries, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{F1, cluster, config, set};

    /// A write by hand adds a key, replaces one, deletes one, or deletes one that is not there.
    #[test]
    fn readers_find_unversioned_writes_in_place_of_the_leaders() {
        let (mut leader, mut followers) = cluster(config(1, 1, 0));
        while leader.poll_output().is_some() {}
        for name in ["replaced", "removed", "untouched"] {
            assert!(set(&mut leader, &mut followers, name, "1", &[F1]));
        }
        let follower = &mut followers[0];
        let key = |name: &str| Key::new(name).unwrap();
        let version = |version: u64| Version::new(version).unwrap();
        let value = || Some(Value::from_json("2").unwrap());
        for (name, version, value) in
            [("added", version(1), value()), ("replaced", version(2), value()), ("removed", version(2), None)]
        {
            assert_eq!(follower.replicate_by_hand(&key(name), version, value), Applied::Yes, "{name}");
        }
        follower.replicate_by_hand(&key("absent"), version(1), None);
        let names = |follower: &Follower, after: Option<&str>| -> Vec<String> {
            let after = after.map(key);
            let shown = follower.after(after.as_ref()).filter(|(_, entry)| !entry.is_tombstone());
            shown.map(|(key, _)| key.as_str().to_owned()).collect()
        };
        assert_eq!(names(follower, None), ["added", "replaced", "untouched"]);
        assert_eq!(names(follower, Some("added")), ["replaced", "untouched"]);
        assert_eq!(follower.len(), 3);
        assert_eq!(follower.get(&key("replaced")).unwrap().value, value());
        // The same version once more, and an older one.
        for old in [2, 1] {
            let stored = Stamp { epoch: Epoch::ZERO, version: version(2) };
            let applied = follower.replicate_by_hand(&key("replaced"), version(old), value());
            assert_eq!(applied, Applied::Stale { stored });
        }
        // The leader's next write shows again, whatever its version.
        assert!(set(&mut leader, &mut followers, "removed", "3", &[F1]));
        assert_eq!(followers[0].len(), 4);
    }

    fn entry(epoch: Epoch) -> Entry {
        let stamp = Stamp { epoch, version: Version::FIRST };
        Entry::new(stamp, Some(Value::from_json("1").unwrap()))
    }

    fn answers(follower: &mut Follower, epoch: Epoch, leader: LeaderId, question: Question) -> Said {
        follower.ask(&Ask { epoch, leader, question }, &mut Vec::new()).said
    }

    /// Another leader may have the same epoch, and an epoch of zero is what nobody has promised.
    #[test]
    fn only_the_leader_with_the_promised_epoch_is_obeyed() {
        let (epoch, leader) = (Epoch::new(7), LeaderId(3));
        let probe = || Question::Probe { recovered: None, buckets: false };
        let mut follower = Follower::new(Incarnation(1), Rules::SAFE);
        let x = Key::new("x").unwrap();
        assert_eq!(answers(&mut follower, Epoch::ZERO, LeaderId::default(), probe()), Said::Refused);
        let applied = follower.replicate(LeaderId::default(), &x, entry(Epoch::ZERO));
        assert_eq!(applied, Applied::Fenced { promised: Epoch::ZERO });
        answers(&mut follower, epoch, leader, Question::Fence);
        for (epoch, leader) in [(Epoch::new(6), leader), (Epoch::new(8), leader), (epoch, LeaderId(4))] {
            assert_eq!(answers(&mut follower, epoch, leader, probe()), Said::Refused);
            let applied = follower.replicate(leader, &x, entry(epoch));
            assert_eq!(applied, Applied::Fenced { promised: Epoch::new(7) });
        }
        assert!(follower.store().is_empty());
        assert!(matches!(answers(&mut follower, epoch, leader, probe()), Said::Here { .. }));
        assert_eq!(follower.replicate(leader, &x, entry(epoch)), Applied::Yes);
    }

    /// A search that takes two followers for the same follows one of them only.
    #[test]
    fn followers_that_behave_differently_have_different_hashes() {
        let hash = |follower: &Follower| {
            let mut hasher = std::hash::DefaultHasher::new();
            follower.hash_behaviour(true, &mut hasher);
            hasher.finish()
        };
        let mut follower = Follower::new(Incarnation(1), Rules::SAFE);
        let mut hashes = vec![hash(&follower)];
        answers(&mut follower, Epoch::new(7), LeaderId(3), Question::Fence);
        hashes.push(hash(&follower));
        follower.replicate(LeaderId(3), &Key::new("x").unwrap(), entry(Epoch::new(7)));
        hashes.push(hash(&follower));
        let repeated = hash(&follower.clone());
        assert_eq!(hashes.last(), Some(&repeated));
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 3);
    }
}
