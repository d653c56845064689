use std::sync::Arc;
use std::time::Duration;

use super::action::{Action, Fate, Parcel};
use super::memory::Memory;
use super::scope::Scope;
use super::state::{Flight, Interview, Progress, Record, Site, Stage, State};
use crate::base::trace::Event;
use crate::base::{FollowerId, FollowerSet, NodeId, ReadMode};
use crate::core::{
    Answer, Applied, Ask, Asked, Completion, Entry, Identity, Leader, LeaderId, Message, News, Output, ReadId,
    Readable, Reply, Stored, Timer,
};
use crate::sim::scenario::PlannedKind;
use crate::sim::shrink::Goal;

/// It is always the same time: what depends on time happens when the search lets it.
const NOW: Duration = Duration::ZERO;

/// What is told of a step to a person.
#[derive(Debug, Default)]
pub(super) struct Tale {
    /// What came of the action, each in a clause.
    pub(super) clauses: Vec<String>,
    /// What it violated or lost, and in which way.
    pub(super) evidence: Vec<(Goal, String)>,
}

/// A step from one state to the next.
pub(super) struct Step<'a> {
    pub(super) scope: &'a Scope,
    pub(super) state: State,
    /// The followers of whose crash no news can be at the leader, as of what it learns in this step.
    pub(super) outlived: FollowerSet,
    /// Kept only if somebody wants to read it.
    pub(super) tale: Option<Tale>,
    /// What happened at once besides, for it could at any time.
    pub(super) prompted: Vec<Action>,
    /// Whether nothing is left to do after it.
    pub(super) rests: bool,
}

impl<'a> Step<'a> {
    /// The step from this state on.
    pub(super) fn from(scope: &'a Scope, state: &State, tale: Option<Tale>) -> Self {
        Self { scope, state: state.clone(), outlived: FollowerSet::default(), tale, prompted: Vec::new(), rests: false }
    }

    /// Takes an action that can be taken in the state.
    pub(super) fn take(&mut self, action: Action) {
        match action {
            Action::Invoke(operation) => self.invoke(operation),
            Action::Arrive(parcel) => self.arrive(parcel),
            Action::Answer(parcel) => self.answer(parcel),
            Action::GiveUp(parcel) => self.give_up(parcel),
            Action::Strike(fate, parcel) => self.strike(fate, parcel),
            Action::Deadline => self.drive(false, |leader| leader.fire(NOW, Timer::Deadline)),
            Action::Resend(to) => self.drive(false, |leader| leader.fire(NOW, Timer::Resend(to))),
            Action::Ask(to) => self.drive(false, |leader| leader.fire(NOW, Timer::Ask(to))),
            Action::Question(to) => self.question(to),
            Action::Heard(from) => self.heard(from, true),
            Action::Unheard(to) => self.heard(to, false),
            Action::Stray(to, place) => self.stray(to, place),
            Action::Crash(node) => self.crash(node),
            Action::Restart(node) => self.restart(node),
        }
        self.hasten();
        self.rests = self.state.is_at_rest(self.scope);
        if self.rests {
            self.judge_rest();
        }
    }

    /// Does what may be done at any time, and lets go of what can have no effect.
    pub(super) fn hasten(&mut self) {
        loop {
            self.state.let_go_of_the_past(self.scope);
            if let Some(to) = self.state.asked_at_any_time(self.scope) {
                self.question(to);
                self.prompted.push(Action::Question(to));
            } else if let Some(from) = self.state.heard_at_any_time(self.scope) {
                self.heard(from, true);
                self.prompted.push(Action::Heard(from));
            } else {
                break;
            }
        }
    }

    pub(super) fn tell(&mut self, clause: impl FnOnce(&Self) -> String) {
        if self.tale.is_some() {
            let clause = clause(self);
            self.tale.iter_mut().for_each(|tale| tale.clauses.push(clause.clone()));
        }
    }

    /// `c1#1`
    pub(super) fn name(&self, operation: usize) -> String {
        self.scope.operations[operation].name.to_string()
    }

    fn invoke(&mut self, operation: usize) {
        match self.scope.operations[operation].kind {
            PlannedKind::Set | PlannedKind::Delete => self.write(operation),
            PlannedKind::Get { from, mode } => self.read(operation, from.with_one_leader(), mode),
        }
    }

    fn write(&mut self, write: usize) {
        let operation = &self.scope.operations[write];
        let key = &self.scope.keys[operation.key];
        let Some(leader) = &mut self.state.leader else { return };
        let before = leader.store().stamp(key);
        let leader = Arc::make_mut(leader);
        let accepted = match operation.value.clone() {
            Some(value) => leader.set(NOW, Some(write as u64), key.clone(), value),
            None => leader.delete(NOW, Some(write as u64), key.clone()),
        };
        let accepted = accepted.expect("a scope has fewer writes than there are versions");
        let returned = self.state.ghost.keys[operation.key].returned;
        let record = &mut self.state.ghost.records[write];
        record.progress = Progress::Waiting;
        record.accepted = Some((self.state.life, accepted.write, accepted.stamp));
        record.behind = Some(accepted.stamp) <= returned;
        self.tell(|step| format!("{} is given {}", step.name(write), accepted.stamp));
        self.judge_accepted(write, accepted.stamp, before);
        let is_new = |flight: &Flight| flight.parcel.operation == write;
        self.drive(true, |_| {});
        // With nobody to send to at once, the write waits for a round.
        if !self.state.sites.iter().all(|site| site.flights.iter().any(is_new)) {
            self.state.ghost.window_was_full = true;
        }
    }

    fn read(&mut self, read: usize, from: NodeId, mode: ReadMode) {
        let key = &self.scope.keys[self.scope.operations[read].key];
        let found = match (from, &mut self.state.leader, mode) {
            (NodeId::Follower(id), ..) => {
                self.state.site(id).memory.as_ref().and_then(|memory| memory.follower.get(key)).cloned()
            }
            (_, Some(leader), ReadMode::Linearizable) => {
                let begun = Arc::make_mut(leader).begin_read(NOW);
                let record = &mut self.state.ghost.records[read];
                record.progress = Progress::Waiting;
                record.reads = begun.ok();
                record.floor = self.state.ghost.keys[self.scope.operations[read].key].returned;
                return self.drive(false, |_| {});
            }
            (_, Some(leader), ReadMode::Committed) => leader.committed(key).cloned(),
            (_, leader, _) => leader.as_ref().and_then(|leader| leader.store().get(key)).cloned(),
        };
        self.state.ghost.records[read].floor = self.state.ghost.keys[self.scope.operations[read].key].returned;
        self.found(read, from, found);
    }

    /// A read that waited is answered.
    fn read_on(&mut self, number: ReadId, readable: Readable) {
        let is_it = |record: &Record| record.reads == Some(number) && record.progress == Progress::Waiting;
        let Some(read) = self.state.ghost.records.iter().position(is_it) else { return };
        let key = &self.scope.keys[self.scope.operations[read].key];
        match (&self.state.leader, readable) {
            (Some(leader), Readable::Yes) => {
                let found = leader.committed(key).cloned();
                self.found(read, NodeId::FIRST_SERVER, found);
            }
            _ => self.state.ghost.records[read].progress = Progress::Done,
        }
    }

    fn found(&mut self, read: usize, from: NodeId, found: Option<Entry>) {
        self.state.ghost.records[read].progress = Progress::Done;
        self.state.ghost.records[read].reads = None;
        self.tell(|step| match &found {
            None => format!("{} finds nothing", step.name(read)),
            Some(entry) => format!("{} finds {entry}", step.name(read)),
        });
        match (from, found) {
            (NodeId::FIRST_SERVER, found) => self.judge_read_at_leader(read, found.as_ref()),
            (_, Some(found)) => self.judge_read_at_follower(read, &found),
            (_, None) => {}
        }
    }

    fn arrive(&mut self, parcel: Parcel) {
        let Some(flight) = self.take_flight(parcel) else { return };
        let to = parcel.to;
        let key = self.scope.operations[parcel.operation].key;
        let life = self.state.ghost.records[parcel.operation].accepted.map_or(0, |(life, ..)| life);
        let scope = self.scope;
        let Some(memory) = &mut self.state.site_mut(to).memory else { return };
        let before = memory.entry(scope, key).cloned();
        let entry = flight.message.update.entry.clone();
        let applied = memory.follower.replicate(LeaderId(life.into()), flight.message.key(), entry);
        let Identity { incarnation, standing } = memory.follower.identity();
        let of = |stamp| Reply::Stored(Stored { stamp, incarnation, standing });
        let reply = match applied {
            Applied::Yes => {
                memory.bring(key, life, flight.message.stamp());
                of(flight.message.stamp())
            }
            Applied::Stale { stored } => of(stored),
            Applied::Fenced { promised } => Reply::Fenced(promised),
        };
        self.tell(|_| match applied {
            Applied::Yes => format!("{to} stores {}", flight.message.stamp()),
            Applied::Stale { stored } => format!("{to} has {stored} and keeps it"),
            Applied::Fenced { promised } => format!("{to} has promised epoch {} and refuses it", promised.get()),
        });
        self.judge_applied(to, key, before);
        if flight.stage == Stage::OnTheWay {
            let stage = Stage::Answered { reply, outlived: FollowerSet::default() };
            self.put_flight(Flight { stage, ..flight });
        }
    }

    fn answer(&mut self, parcel: Parcel) {
        let Some(flight) = self.take_flight(parcel) else { return };
        let Stage::Answered { reply, outlived } = flight.stage else { return };
        self.outlived = outlived;
        self.settle(parcel);
        self.drive(false, |leader| leader.handle_reply(NOW, &flight.message, reply));
    }

    /// The leader's question reaches its follower.
    fn question(&mut self, to: FollowerId) {
        let Some(interview) = self.state.site(to).interview.clone() else { return };
        let answer = self.put_to(to, &interview.call.ask);
        self.state.site_mut(to).interview = Some(Interview { answer, ..interview });
    }

    /// The answer reaches the leader; or it hears that there will be none.
    fn heard(&mut self, from: FollowerId, answers: bool) {
        let Some(Interview { call, answer, .. }) = self.state.site_mut(from).interview.take() else { return };
        let asked = answer.filter(|_| answers).map_or(Asked::Lost, Asked::Answered);
        if let Asked::Lost = asked
            && answers
        {
            return;
        }
        self.drive(false, |leader| leader.handle_answer(NOW, from, call.number, asked));
    }

    fn stray(&mut self, to: FollowerId, place: usize) {
        let ask = self.state.site_mut(to).strays.remove(place);
        self.put_to(to, &ask);
    }

    /// A follower answers a question, and does what it says.
    fn put_to(&mut self, to: FollowerId, ask: &Ask) -> Option<Answer> {
        let scope = self.scope;
        let memory = self.state.site_mut(to).memory.as_mut()?;
        let before: Vec<Option<Entry>> = (0..scope.keys.len()).map(|key| memory.entry(scope, key).cloned()).collect();
        let mut events = Vec::new();
        let answer = memory.follower.ask(ask, &mut events);
        let life = u8::try_from(ask.leader.0).unwrap_or(u8::MAX);
        for event in &events {
            if let Event::Apply { key, stamp, .. } = event
                && let Some(key) = scope.keys.iter().position(|known| known == key)
            {
                memory.bring(key, life, *stamp);
            }
        }
        for event in &events {
            if let Event::Collect { key, stamp } = event {
                self.judge_collected(key, *stamp, life);
            }
        }
        for event in events {
            self.tell(|_| match &event {
                Event::Promise { epoch, .. } => format!("{to} promises epoch {}", epoch.get()),
                Event::Install { epoch } => format!("{to} is up to date for epoch {}", epoch.get()),
                Event::Apply { key, stamp, .. } => format!("{to} stores {key} {stamp}"),
                Event::Collect { key, stamp } => format!("{to} forgets that {key} was deleted as {stamp}"),
                other => format!("{to}: {other:?}"),
            });
        }
        for (key, before) in before.into_iter().enumerate() {
            self.judge_applied(to, key, before);
        }
        Some(answer)
    }

    /// What the leader tells.
    fn news(&mut self, news: &News) {
        if let News::Collected(deletions) = news {
            let life = self.state.life;
            deletions.iter().for_each(|deletion| self.judge_collected(&deletion.key, deletion.stamp, life));
        }
        if let News::Recovered { anew, .. } = news {
            self.judge_recovered(*anew);
        }
        self.tell(|_| match news {
            News::Recovered { keys, anew, .. } => {
                format!("the leader recovers {keys} keys{}", if *anew { ": nothing has survived" } else { "" })
            }
            News::Serving(epoch) => format!("the leader serves in epoch {}", epoch.get()),
            News::SteppedDown { from, .. } => format!("the leader steps down from epoch {}", from.get()),
            News::CaughtUp { follower, .. } => format!("the leader knows that {follower} is up to date"),
            News::Forgot { follower, .. } => format!("the leader learns that {follower} has restarted"),
            News::Collected(deletions) => format!("the leader forgets {} deletions", deletions.len()),
            News::Legacy(follower) => format!("{follower} does not know epochs"),
            News::Astray { follower, by, .. } => format!("{by} answers in place of {follower}"),
        });
    }

    fn give_up(&mut self, parcel: Parcel) {
        let Some(flight) = self.take_flight(parcel) else { return };
        let message = flight.message.clone();
        self.settle(parcel);
        if flight.late && flight.stage == Stage::OnTheWay {
            self.put_flight(Flight { stage: Stage::Orphan, is_open: false, late: false, ..flight });
        }
        self.drive(false, |leader| leader.handle_reply(NOW, &message, Reply::Lost));
    }

    fn strike(&mut self, fate: Fate, parcel: Parcel) {
        let Some(flight) = self.take_flight(parcel) else { return };
        let (fault, flight) = match fate {
            Fate::Drop(fault) | Fate::DropReply(fault) => (fault, Flight { stage: Stage::Doomed, ..flight }),
            Fate::Late(fault) => (fault, Flight { late: true, ..flight }),
            Fate::Duplicate(fault) => {
                let same = |other: &&Flight| {
                    (other.parcel.operation, other.parcel.attempt) == (parcel.operation, parcel.attempt)
                };
                let copies = self.state.site(parcel.to).flights.iter().filter(same).map(|other| other.parcel.copy);
                let copy = 1 + copies.max().unwrap_or(0);
                self.put_flight(Flight {
                    parcel: Parcel { copy, ..parcel },
                    first: false,
                    is_open: false,
                    late: false,
                    ..flight.clone()
                });
                (fault, flight)
            }
        };
        self.state.spent |= 1 << fault;
        self.put_flight(flight);
    }

    fn crash(&mut self, node: NodeId) {
        self.spend_crash(node);
        match node {
            NodeId::Follower(id) => {
                self.mourn(id);
                let site = self.state.site_mut(id);
                site.lost = site.memory.take();
                let awaited = site.flights.iter_mut().filter(|flight| flight.stage != Stage::Orphan);
                awaited.for_each(|flight| flight.frail = true);
                site.interview.iter_mut().for_each(|interview| interview.frail = true);
                // A leader that looks after its followers learns of it by itself.
                let sites = if self.scope.rules().recover_on_start { &mut [] } else { &mut self.state.sites[..] };
                for site in sites {
                    for flight in &mut Arc::make_mut(site).flights {
                        if let Stage::Answered { outlived, .. } = &mut flight.stage {
                            outlived.insert(id);
                        }
                    }
                }
            }
            _ => {
                self.state.leader = None;
                for site in &mut self.state.sites {
                    let site = Arc::make_mut(site);
                    if let Some(Interview { call, answer: None, .. }) = site.interview.take() {
                        site.strays.push(call.ask);
                    }
                    let flights = &mut site.flights;
                    flights.retain(|flight| matches!(flight.stage, Stage::OnTheWay | Stage::Orphan));
                    // Nobody waits for them, so nothing can be said of how their requests end.
                    flights.iter_mut().for_each(|flight| {
                        (flight.stage, flight.late, flight.frail) = (Stage::Orphan, false, false);
                        (flight.first, flight.is_open) = (false, false);
                    });
                }
                self.state.ghost.keys.iter_mut().for_each(|key| key.last = None);
                let waiting = |progress: &&mut Progress| **progress == Progress::Waiting;
                let records = self.state.ghost.records.iter_mut().map(|record| &mut record.progress);
                records.filter(waiting).for_each(|progress| *progress = Progress::Done);
            }
        }
    }

    fn restart(&mut self, node: NodeId) {
        match node {
            NodeId::Follower(id) => {
                let scope = self.scope;
                let site = self.state.site_mut(id);
                site.life += 1;
                site.memory = Some(Memory::new(scope, id, site.life));
            }
            _ => {
                self.state.life += 1;
                self.state.leader = Some(Arc::new(self.scope.leader(self.state.life)));
                self.drive(false, |_| {});
            }
        }
    }

    /// Does something to the leader, and what it asks for then. `first` says whether it sends first deliveries.
    fn drive(&mut self, first: bool, act: impl FnOnce(&mut Leader)) {
        let Some(leader) = &mut self.state.leader else { return };
        let leader = Arc::make_mut(leader);
        act(leader);
        let mut outputs = Vec::new();
        while let Some(output) = leader.poll_output() {
            outputs.push(output);
        }
        for output in outputs {
            match output {
                Output::Send(message) => self.send(message, first),
                Output::Complete(completion) => self.complete(completion),
                Output::Read(read, readable) => self.read_on(read, readable),
                Output::Ask(call) => {
                    let site = self.state.site_mut(call.to);
                    let frail = site.memory.is_none();
                    site.interview = Some(Interview { call: *call, answer: None, frail });
                }
                Output::Tell(news) => self.news(&news),
                Output::Reconnect(_) => unreachable!("here every name leads where it should"),
            }
        }
    }

    fn send(&mut self, message: Message, first: bool) {
        let to = message.to;
        let Some(operation) = self.state.numbered(message.update.write) else { return };
        if !first {
            self.tell(|step| format!("{} is sent to {to} again", step.name(operation)));
        }
        let parcel = Parcel { to, operation, attempt: message.attempt, copy: 0 };
        let frail = self.state.site(to).memory.is_none();
        self.put_flight(Flight { parcel, message, stage: Stage::OnTheWay, first, is_open: true, late: false, frail });
        self.judge_bounds(to, first);
    }

    fn complete(&mut self, completion: Completion) {
        let Some(write) = self.state.numbered(completion.write) else { return };
        let Completion { ok, confirmations, required, .. } = completion;
        self.tell(|step| {
            let how = if ok { "acknowledged" } else { "answered without its quorum" };
            format!("{} is {how}, with {confirmations} of {required} confirmations", step.name(write))
        });
        self.state.ghost.records[write].progress = Progress::Done;
        self.judge_completed(write, completion);
    }

    /// The leader hears of the end of a message or of a copy of it. What else is on its way of it is not waited for.
    fn settle(&mut self, parcel: Parcel) {
        let is_it = |flight: &&mut Flight| {
            (flight.parcel.operation, flight.parcel.attempt) == (parcel.operation, parcel.attempt)
        };
        self.state.site_mut(parcel.to).flights.iter_mut().filter(is_it).for_each(|flight| flight.is_open = false);
    }

    fn take_flight(&mut self, parcel: Parcel) -> Option<Flight> {
        let flights = &mut self.state.site_mut(parcel.to).flights;
        let place = flights.iter().position(|flight| flight.parcel == parcel)?;
        Some(flights.remove(place))
    }

    fn put_flight(&mut self, flight: Flight) {
        let flights = &mut self.state.site_mut(flight.parcel.to).flights;
        let place = flights.partition_point(|other| other.parcel < flight.parcel);
        flights.insert(place, flight);
    }

    fn spend_crash(&mut self, node: NodeId) {
        if let Some(fault) = self.state.next_crash(self.scope, node) {
            self.state.spent |= 1 << fault;
        }
    }

    /// How the store of a follower differs from that of the leader.
    pub(super) fn differ(&self, id: FollowerId) -> String {
        let Site { memory, .. } = self.state.site(id);
        let sides = self.scope.keys.iter().map(|key| {
            let leader = self.state.leader.as_ref().and_then(|leader| leader.store().entry(key));
            let follower = memory.as_ref().and_then(|memory| memory.follower.store().entry(key));
            (key, leader, follower)
        });
        let side = |entry: Option<&Entry>| entry.map_or("nothing".to_owned(), Entry::to_string);
        let different = sides.filter(|(_, leader, follower)| leader != follower);
        let texts = different
            .map(|(key, leader, follower)| format!("of {key} it has {}, the leader {}", side(follower), side(leader)));
        texts.collect::<Vec<_>>().join("; ")
    }
}
