use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The decisions of the protocol that keep it correct, each of which can be switched off in a simulation to show what it
/// is for. A node that serves has them all; there is no setting for it.
///
/// The numbers F1, F13, … are those of the stories in `sim-tests/corpus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A follower applies a write only if its stamp is greater than the stored one. Without it the last to arrive wins
    /// (F18).
    pub compare_stamps: bool,
    /// An answer confirms a write only if it shows that the follower stores it or a later one of this leader. Without it
    /// every answer with status 200 does, that of a stale write too (F1).
    pub confirm_only_stored: bool,
    /// A follower confirms a write once, however often it answers. Without it every answer counts (F13).
    pub count_distinct: bool,
    /// An error or a silence confirms nothing. Without it the end of a request is taken for its success.
    pub confirm_only_answers: bool,
    /// A write that misses its quorum is not acknowledged. Without it the deadline lowers the quorum to what there is.
    pub keep_quorum: bool,
    /// What a follower missed is sent again until it arrives. Without it a lost message stays lost (F36).
    pub resend_missed: bool,
    /// A write gets the version after the key's last. Without it the version is read before earlier writes have ended, as
    /// by two handlers that do not wait for one another, and is given twice (F17).
    pub one_writer: bool,
    /// A write is answered at its deadline at the latest. Without it its client waits for the quorum for ever.
    pub answer_by_deadline: bool,
    /// What is under way to a follower is bounded. Without it a follower that does not answer costs memory for each write
    /// (F32).
    pub bound_window: bool,
    /// A leader that starts asks its followers for what was written before, and serves only then. Without it, it
    /// begins with nothing, in the first epoch (F1).
    pub recover_on_start: bool,
    /// A follower takes writes only of the leader and the epoch that it has promised. Without it, it takes any (F25).
    pub refuse_deposed: bool,
    /// A follower that starts takes itself for one that may have forgotten everything. Without it, for one that remembers
    /// (F6).
    pub start_recovering: bool,
    /// A follower that may have forgotten does not count among those from which a leader recovers. Without it, it does (F6).
    pub leave_out_forgetful: bool,
    /// Only a follower that has been brought up to date in its present life confirms a write. Without it, any (F8).
    pub confirm_only_current: bool,
    /// What a follower confirmed before it lost its memory does not count any more. Without it, it does (F8).
    pub forget_lost_confirmations: bool,
    /// A follower that may have forgotten is given everything before it counts. Without it, it is given nothing (F7).
    pub resync_followers: bool,
    /// A leader recovers from so many followers that every acknowledged write is among what they store, and that are a
    /// majority. Without it, from any one (F3).
    pub recover_from_enough: bool,
    /// The quorums that were in force before count when a leader recovers. Without it, its own only (F3).
    pub remember_quorums: bool,
    /// Of what the followers store for a key, a leader that recovers takes the newest. Without it, the last that it reads (F31).
    pub merge_newest: bool,
    /// What a leader recovers gets the stamps of its own epoch. Without it, it keeps those that it had (F4).
    pub restamp: bool,
    /// A leader serves what it recovered once a quorum stores it. Without it, at once (F4).
    pub replicate_recovered: bool,
    /// A follower is given a memory only when enough others have said since its start that the leader's epoch stands. Without
    /// it, at once (F5).
    pub confirm_before_install: bool,
    /// A follower that is brought up to date drops what is of an earlier epoch. Without it, it keeps what no leader knows (F29).
    pub drop_leftovers: bool,
    /// A cluster begins anew, empty, only if no follower remembers anything. Without it, if a majority does not (F3).
    pub bootstrap_from_all: bool,
    /// A deletion is forgotten once every follower has it. Without it, once a quorum has it (F30).
    pub keep_tombstones: bool,
    /// A write that comes again under the name that its client gave it is the first one still. Without it, it is a new
    /// write (F11).
    pub deduplicate_requests: bool,
    /// A committed or linearizable read shows only what a quorum stores. Without it, what the leader stores (F10).
    pub read_committed: bool,
    /// A leader makes sure that its epoch stands before it answers a linearizable read. Without it, it takes that for granted
    /// (F40).
    pub confirm_reads: bool,
    /// A follower that answers under the name of another is not taken for it. Without it, one node that two names lead to counts
    /// twice (F13).
    pub tell_nodes_apart: bool,
    /// A follower that was brought up to date is not new, however few keys it stores, nor is a cluster whose leader has served or
    /// has met such a follower. Without it, a follower without keys counts as one that was never used, and a cluster whose keys
    /// were deleted can bootstrap although writes were acknowledged (F3).
    pub bootstrap_only_new: bool,
    /// When a connection to a follower ends, or the follower does not answer in time, its confirmations do not count until it has
    /// answered again. Without it, they count until the leader learns that the follower has restarted (F8).
    pub doubt_ended_connections: bool,
    /// A leader serves under another configuration only when enough members of each earlier one have been brought up to date
    /// under it, so that every later leader learns of it. Without it, its own quorum is enough (F3).
    pub hand_over_configuration: bool,
    /// The stores of leader and followers are compared, and what differs is sent again. Without it, what a follower lost
    /// without noticing stays lost.
    pub compare_stores: bool,
}

/// One of the [`Rules`], by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// [`Rules::compare_stamps`]
    CompareStamps,
    /// [`Rules::confirm_only_stored`]
    ConfirmOnlyStored,
    /// [`Rules::count_distinct`]
    CountDistinct,
    /// [`Rules::confirm_only_answers`]
    ConfirmOnlyAnswers,
    /// [`Rules::keep_quorum`]
    KeepQuorum,
    /// [`Rules::resend_missed`]
    ResendMissed,
    /// [`Rules::one_writer`]
    OneWriter,
    /// [`Rules::answer_by_deadline`]
    AnswerByDeadline,
    /// [`Rules::bound_window`]
    BoundWindow,
    /// [`Rules::recover_on_start`]
    RecoverOnStart,
    /// [`Rules::refuse_deposed`]
    RefuseDeposed,
    /// [`Rules::start_recovering`]
    StartRecovering,
    /// [`Rules::leave_out_forgetful`]
    LeaveOutForgetful,
    /// [`Rules::confirm_only_current`]
    ConfirmOnlyCurrent,
    /// [`Rules::forget_lost_confirmations`]
    ForgetLostConfirmations,
    /// [`Rules::resync_followers`]
    ResyncFollowers,
    /// [`Rules::recover_from_enough`]
    RecoverFromEnough,
    /// [`Rules::remember_quorums`]
    RememberQuorums,
    /// [`Rules::merge_newest`]
    MergeNewest,
    /// [`Rules::restamp`]
    Restamp,
    /// [`Rules::replicate_recovered`]
    ReplicateRecovered,
    /// [`Rules::confirm_before_install`]
    ConfirmBeforeInstall,
    /// [`Rules::drop_leftovers`]
    DropLeftovers,
    /// [`Rules::bootstrap_from_all`]
    BootstrapFromAll,
    /// [`Rules::keep_tombstones`]
    KeepTombstones,
    /// [`Rules::deduplicate_requests`]
    DeduplicateRequests,
    /// [`Rules::read_committed`]
    ReadCommitted,
    /// [`Rules::confirm_reads`]
    ConfirmReads,
    /// [`Rules::tell_nodes_apart`]
    TellNodesApart,
    /// [`Rules::bootstrap_only_new`]
    BootstrapOnlyNew,
    /// [`Rules::doubt_ended_connections`]
    DoubtEndedConnections,
    /// [`Rules::hand_over_configuration`]
    HandOverConfiguration,
    /// [`Rules::compare_stores`]
    CompareStores,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 33] = [
        Self::CompareStamps,
        Self::ConfirmOnlyStored,
        Self::CountDistinct,
        Self::ConfirmOnlyAnswers,
        Self::KeepQuorum,
        Self::ResendMissed,
        Self::OneWriter,
        Self::AnswerByDeadline,
        Self::BoundWindow,
        Self::RecoverOnStart,
        Self::RefuseDeposed,
        Self::StartRecovering,
        Self::LeaveOutForgetful,
        Self::ConfirmOnlyCurrent,
        Self::ForgetLostConfirmations,
        Self::ResyncFollowers,
        Self::RecoverFromEnough,
        Self::RememberQuorums,
        Self::MergeNewest,
        Self::Restamp,
        Self::ReplicateRecovered,
        Self::ConfirmBeforeInstall,
        Self::DropLeftovers,
        Self::BootstrapFromAll,
        Self::KeepTombstones,
        Self::DeduplicateRequests,
        Self::ReadCommitted,
        Self::ConfirmReads,
        Self::TellNodesApart,
        Self::BootstrapOnlyNew,
        Self::DoubtEndedConnections,
        Self::HandOverConfiguration,
        Self::CompareStores,
    ];

    /// The name that scenarios and commands use.
    pub fn name(self) -> &'static str {
        match self {
            Self::CompareStamps => "compare-stamps",
            Self::ConfirmOnlyStored => "confirm-only-stored",
            Self::CountDistinct => "count-distinct",
            Self::ConfirmOnlyAnswers => "confirm-only-answers",
            Self::KeepQuorum => "keep-quorum",
            Self::ResendMissed => "resend-missed",
            Self::OneWriter => "one-writer",
            Self::AnswerByDeadline => "answer-by-deadline",
            Self::BoundWindow => "bound-window",
            Self::RecoverOnStart => "recover-on-start",
            Self::RefuseDeposed => "refuse-deposed",
            Self::StartRecovering => "start-recovering",
            Self::LeaveOutForgetful => "leave-out-forgetful",
            Self::ConfirmOnlyCurrent => "confirm-only-current",
            Self::ForgetLostConfirmations => "forget-lost-confirmations",
            Self::ResyncFollowers => "resync-followers",
            Self::RecoverFromEnough => "recover-from-enough",
            Self::RememberQuorums => "remember-quorums",
            Self::MergeNewest => "merge-newest",
            Self::Restamp => "restamp",
            Self::ReplicateRecovered => "replicate-recovered",
            Self::ConfirmBeforeInstall => "confirm-before-install",
            Self::DropLeftovers => "drop-leftovers",
            Self::BootstrapFromAll => "bootstrap-from-all",
            Self::KeepTombstones => "keep-tombstones",
            Self::DeduplicateRequests => "deduplicate-requests",
            Self::ReadCommitted => "read-committed",
            Self::ConfirmReads => "confirm-reads",
            Self::TellNodesApart => "tell-nodes-apart",
            Self::BootstrapOnlyNew => "bootstrap-only-new",
            Self::DoubtEndedConnections => "doubt-ended-connections",
            Self::HandOverConfiguration => "hand-over-configuration",
            Self::CompareStores => "compare-stores",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = Self::ALL.into_iter().find(|rule| rule.name() == text);
        rule.ok_or_else(|| format!("there is no rule {text:?}; the rules are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl Rules {
    /// Every rule in force.
    pub const SAFE: Self = Self {
        compare_stamps: true,
        confirm_only_stored: true,
        count_distinct: true,
        confirm_only_answers: true,
        keep_quorum: true,
        resend_missed: true,
        one_writer: true,
        answer_by_deadline: true,
        bound_window: true,
        recover_on_start: true,
        refuse_deposed: true,
        start_recovering: true,
        leave_out_forgetful: true,
        confirm_only_current: true,
        forget_lost_confirmations: true,
        resync_followers: true,
        recover_from_enough: true,
        remember_quorums: true,
        merge_newest: true,
        restamp: true,
        replicate_recovered: true,
        confirm_before_install: true,
        drop_leftovers: true,
        bootstrap_from_all: true,
        keep_tombstones: true,
        deduplicate_requests: true,
        read_committed: true,
        confirm_reads: true,
        tell_nodes_apart: true,
        bootstrap_only_new: true,
        doubt_ended_connections: true,
        hand_over_configuration: true,
        compare_stores: true,
    };

    /// The textbook design that many start from: versions are compared and followers counted once, but any answer with
    /// status 200 counts, what is lost is not sent again, and a node that restarts is empty and goes on as if nothing were.
    pub const LAB: Self = Self {
        confirm_only_stored: false,
        resend_missed: false,
        recover_on_start: false,
        refuse_deposed: false,
        start_recovering: false,
        confirm_only_current: false,
        read_committed: false,
        confirm_reads: false,
        tell_nodes_apart: false,
        doubt_ended_connections: false,
        compare_stores: false,
        ..Self::SAFE
    };

    /// These rules without one of them.
    #[must_use]
    pub fn without(mut self, rule: Rule) -> Self {
        *match rule {
            Rule::CompareStamps => &mut self.compare_stamps,
            Rule::ConfirmOnlyStored => &mut self.confirm_only_stored,
            Rule::CountDistinct => &mut self.count_distinct,
            Rule::ConfirmOnlyAnswers => &mut self.confirm_only_answers,
            Rule::KeepQuorum => &mut self.keep_quorum,
            Rule::ResendMissed => &mut self.resend_missed,
            Rule::OneWriter => &mut self.one_writer,
            Rule::AnswerByDeadline => &mut self.answer_by_deadline,
            Rule::BoundWindow => &mut self.bound_window,
            Rule::RecoverOnStart => &mut self.recover_on_start,
            Rule::RefuseDeposed => &mut self.refuse_deposed,
            Rule::StartRecovering => &mut self.start_recovering,
            Rule::LeaveOutForgetful => &mut self.leave_out_forgetful,
            Rule::ConfirmOnlyCurrent => &mut self.confirm_only_current,
            Rule::ForgetLostConfirmations => &mut self.forget_lost_confirmations,
            Rule::ResyncFollowers => &mut self.resync_followers,
            Rule::RecoverFromEnough => &mut self.recover_from_enough,
            Rule::RememberQuorums => &mut self.remember_quorums,
            Rule::MergeNewest => &mut self.merge_newest,
            Rule::Restamp => &mut self.restamp,
            Rule::ReplicateRecovered => &mut self.replicate_recovered,
            Rule::ConfirmBeforeInstall => &mut self.confirm_before_install,
            Rule::DropLeftovers => &mut self.drop_leftovers,
            Rule::BootstrapFromAll => &mut self.bootstrap_from_all,
            Rule::KeepTombstones => &mut self.keep_tombstones,
            Rule::DeduplicateRequests => &mut self.deduplicate_requests,
            Rule::ReadCommitted => &mut self.read_committed,
            Rule::ConfirmReads => &mut self.confirm_reads,
            Rule::TellNodesApart => &mut self.tell_nodes_apart,
            Rule::BootstrapOnlyNew => &mut self.bootstrap_only_new,
            Rule::DoubtEndedConnections => &mut self.doubt_ended_connections,
            Rule::HandOverConfiguration => &mut self.hand_over_configuration,
            Rule::CompareStores => &mut self.compare_stores,
        } = false;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_one_name() {
        for rule in Rule::ALL {
            assert_eq!(rule.name().parse(), Ok(rule));
            assert_eq!(serde_json::to_string(&rule).unwrap(), format!("{:?}", rule.name()));
        }
        assert!("none".parse::<Rule>().unwrap_err().contains("the rules are compare-stamps, "));
    }

    #[test]
    fn each_rule_can_be_switched_off_alone() {
        for rule in Rule::ALL {
            assert_ne!(Rules::SAFE.without(rule), Rules::SAFE, "{rule:?}");
            for other in Rule::ALL.into_iter().filter(|other| *other != rule) {
                assert_ne!(Rules::SAFE.without(rule), Rules::SAFE.without(other), "{rule:?} and {other:?}");
            }
        }
    }
}
