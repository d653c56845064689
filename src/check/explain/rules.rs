use super::Explanation;
use crate::core::Rule;

/// The explanation of a protocol rule.
pub(super) struct RuleText {
    summary: &'static str,
    /// The consequence of switching the rule off.
    without: &'static str,
    /// The numbers of the failures that the rule prevents.
    pub(super) prevents: &'static [u8],
    /// Scenarios of the corpus in which the rule is off.
    scenarios: &'static [&'static str],
}

impl RuleText {
    pub(super) fn explanation(&self) -> Explanation {
        let Self { summary, without, scenarios, .. } = *self;
        Explanation { summary, meaning: without, remedy: "", sources: &[], scenarios }
    }
}

/// Returns the text of a rule.
pub(super) fn of(rule: Rule) -> RuleText {
    match rule {
        Rule::CompareStamps => RuleText {
            summary: "A follower applies a write only if its stamp is greater than the stored one.",
            without: "Without it the message that arrives last wins. Messages overtake one another, so followers return \
                      to older values and differ from the leader.",
            prevents: &[18],
            scenarios: &["f18-last-to-arrive-wins"],
        },
        Rule::ConfirmOnlyStored => RuleText {
            summary: "A response confirms a write only if the follower stores that write or a later one of this leader.",
            without: "Without it every response with status 200 counts, also one that says that the write was stale. A \
                      leader that restarted empty then acknowledges writes that no follower stored.",
            prevents: &[1, 2],
            scenarios: &["f1-leader-restarts-empty", "f2-the-old-value-confirms"],
        },
        Rule::CountDistinct => RuleText {
            summary: "A follower confirms a write once, however often it responds.",
            without: "Without it a message that is delivered twice gives two confirmations, and one follower fills a \
                      quorum of two.",
            prevents: &[13],
            scenarios: &["f13-duplicates-counted"],
        },
        Rule::ConfirmOnlyAnswers => RuleText {
            summary: "An error, a timeout or a lost connection confirms nothing.",
            without: "Without it the end of a request counts as success, so a follower that crashed before it received \
                      the write confirms it.",
            prevents: &[14],
            scenarios: &["f14-a-lost-connection-confirms"],
        },
        Rule::KeepQuorum => RuleText {
            summary: "A write that misses its quorum before the deadline is not acknowledged.",
            without: "Without it the deadline lowers the quorum to the confirmations that there are, and the client is \
                      told ok:true.",
            prevents: &[15],
            scenarios: &["f15-the-deadline-lowers-the-quorum"],
        },
        Rule::ResendMissed => RuleText {
            summary: "The leader sends a follower what it missed until it has it.",
            without: "Without it a lost message stays lost, and the follower differs until the key is written again.",
            prevents: &[36],
            scenarios: &["f36-what-is-lost-stays-lost"],
        },
        Rule::OneWriter => RuleText {
            summary: "A write takes the version after the last one of its key, in one step with storing it.",
            without: "Without it two concurrent writes read the same last version, and both get the next one.",
            prevents: &[17],
            scenarios: &[],
        },
        Rule::AnswerByDeadline => RuleText {
            summary: "A write is answered after REPL_TIMEOUT at the latest.",
            without: "Without it a client waits for a quorum that may never be reached.",
            prevents: &[38],
            scenarios: &[],
        },
        Rule::BoundWindow => RuleText {
            summary: "The messages in flight to a follower are limited; past the limit only the newest write of a key is kept.",
            without: "Without it a follower that does not respond costs the leader memory for every write.",
            prevents: &[32],
            scenarios: &[],
        },
        Rule::RecoverOnStart => RuleText {
            summary: "A leader that starts collects the state of its followers before it serves.",
            without: "Without it a leader that restarts begins empty, in the first epoch, and assigns versions that \
                      already exist.",
            prevents: &[1, 2],
            scenarios: &["f1-leader-restarts-empty", "f2-a-version-is-given-twice"],
        },
        Rule::RefuseDeposed => RuleText {
            summary: "A follower accepts writes only from the leader and the epoch that it has promised.",
            without: "Without it a leader that was replaced continues to change followers, and two leaders overwrite \
                      each other.",
            prevents: &[24, 25],
            scenarios: &["f25-a-deposed-leader-is-obeyed", "f24-two-leaders"],
        },
        Rule::StartRecovering => RuleText {
            summary: "A follower that starts treats itself as one that lost its memory.",
            without: "Without it a restarted, empty follower responds as if it had everything, and a leader recovers from \
                      it.",
            prevents: &[6],
            scenarios: &["f6-a-follower-forgets-and-answers"],
        },
        Rule::LeaveOutForgetful => RuleText {
            summary: "A follower that lost its memory does not count when a leader recovers.",
            without: "Without it an empty follower fills the recovery quorum in place of one that has the data, and an \
                      acknowledged write is missed.",
            prevents: &[6],
            scenarios: &[],
        },
        Rule::ConfirmOnlyCurrent => RuleText {
            summary: "Only a follower that was brought up to date since its last start confirms writes.",
            without: "Without it a restarted follower, which does not count in a recovery, is counted for a quorum.",
            prevents: &[8],
            scenarios: &["f8-a-confirmation-outlives-the-memory"],
        },
        Rule::ForgetLostConfirmations => RuleText {
            summary: "Confirmations of a follower are withdrawn when it loses its memory.",
            without: "Without it a write is acknowledged with the confirmation of a follower that no longer stores it.",
            prevents: &[8],
            scenarios: &[],
        },
        Rule::ResyncFollowers => RuleText {
            summary: "A follower that lost its memory receives everything before it counts.",
            without: "Without it a restarted follower gets new writes only, and never the keys that were written before.",
            prevents: &[7],
            scenarios: &[],
        },
        Rule::RecoverFromEnough => RuleText {
            summary: "A leader recovers from enough followers to include one that has each acknowledged write.",
            without: "Without it the leader recovers from the first follower that responds, and an acknowledged write that \
                      only others store is lost. Enough is n-W+1 followers, and more than half.",
            prevents: &[3],
            scenarios: &["f3-recovery-asks-too-few"],
        },
        Rule::RememberQuorums => RuleText {
            summary: "A leader that recovers takes the quorums into account under which earlier writes were acknowledged.",
            without: "Without it a leader that starts with a larger WRITE_QUORUM asks too few followers to find what was \
                      acknowledged with the smaller one.",
            prevents: &[3],
            scenarios: &[],
        },
        Rule::MergeNewest => RuleText {
            summary: "A leader that recovers keeps the newest entry that any follower has of a key.",
            without: "Without it the entry that is read last replaces a newer one, and an acknowledged write is lost.",
            prevents: &[31],
            scenarios: &["f31-a-snapshot-overwrites-a-newer-key"],
        },
        Rule::Restamp => RuleText {
            summary: "A leader gives what it recovered stamps of its own epoch.",
            without: "Without it recovered entries keep their old epoch, and a later recovery can prefer an unacknowledged \
                      leftover to them.",
            prevents: &[4],
            scenarios: &[],
        },
        Rule::ReplicateRecovered => RuleText {
            summary: "A leader replicates what it recovered to a quorum before it serves.",
            without: "Without it clients read a recovered write that only one follower stores. If the leader crashes \
                      again, the next one may not find it.",
            prevents: &[4],
            scenarios: &["f4-what-was-recovered-is-gone-again"],
        },
        Rule::ConfirmBeforeInstall => RuleText {
            summary: "A leader installs a snapshot on a restarted follower only after enough others confirm its epoch.",
            without: "Without it a leader that was replaced wins back a follower that forgot its promise to the next \
                      leader, and two leaders acknowledge writes.",
            prevents: &[5],
            scenarios: &["f5-an-epoch-has-two-leaders"],
        },
        Rule::DropLeftovers => RuleText {
            summary: "A follower that is brought up to date removes entries that the leader does not have.",
            without: "Without it unacknowledged writes of an earlier leader stay on one follower for ever.",
            prevents: &[29],
            scenarios: &["f29-what-a-deposed-leader-left-behind"],
        },
        Rule::BootstrapFromAll => RuleText {
            summary: "A cluster starts empty only if no follower has its memory.",
            without: "Without it a majority of empty followers starts the cluster empty, although another follower still \
                      has the data.",
            prevents: &[3],
            scenarios: &[],
        },
        Rule::KeepTombstones => RuleText {
            summary: "A deletion is collected only after every follower has it.",
            without: "Without it a deletion is collected once a quorum has it, and a follower that missed it brings the \
                      deleted value back.",
            prevents: &[30],
            scenarios: &["f30-a-deletion-is-forgotten-too-early"],
        },
        Rule::DeduplicateRequests => RuleText {
            summary: "A retry with the request_id of an earlier write is that write.",
            without: "Without it a retry is a new write and overwrites what other clients wrote in between.",
            prevents: &[11],
            scenarios: &["f11-a-retry-overwrites-what-came-later"],
        },
        Rule::ReadCommitted => RuleText {
            summary: "A committed or linearizable read returns only what a quorum stores.",
            without: "Without it the leader shows a write that no follower has. If it crashes, that value is gone after it \
                      was read.",
            prevents: &[10],
            scenarios: &["f10-what-was-read-is-gone", "f4-what-was-recovered-is-gone-again"],
        },
        Rule::ConfirmReads => RuleText {
            summary: "A leader confirms its epoch with its followers before it answers a linearizable read.",
            without: "Without it a leader that was paused and replaced returns values that have been overwritten since.",
            prevents: &[40],
            scenarios: &["f40-a-zombie-answers"],
        },
        Rule::TellNodesApart => RuleText {
            summary: "A follower that answers at the address of another one is not counted for it.",
            without: "Without it one node that two addresses lead to is counted twice.",
            prevents: &[13],
            scenarios: &["f13-one-node-has-two-names"],
        },
        Rule::BootstrapOnlyNew => RuleText {
            summary: "A follower that was ever brought up to date is not new, even if it stores no keys.",
            without: "Without it a cluster whose keys were all deleted looks unused. It can start empty although writes \
                      were acknowledged since.",
            prevents: &[3],
            scenarios: &["f3-a-cluster-without-keys-is-not-new"],
        },
        Rule::DoubtEndedConnections => RuleText {
            summary: "When a connection to a follower ends, its confirmations do not count until it responds again.",
            without: "Without it they count until the leader learns that the follower restarted, and a write is \
                      acknowledged with a confirmation of a process that has ended.",
            prevents: &[8],
            scenarios: &["f8-a-confirmation-outlives-its-follower"],
        },
        Rule::HandOverConfiguration => RuleText {
            summary: "A leader serves new members only after enough old members know of them.",
            without: "Without it a leader that starts with the old members does not learn of the new ones, and misses \
                      writes that they acknowledged.",
            prevents: &[3],
            scenarios: &[],
        },
        Rule::CompareStores => RuleText {
            summary: "Leader and followers compare digests of their stores, and the leader sends what differs.",
            without: "Without it a follower that lost an entry without noticing stays different.",
            prevents: &[6],
            scenarios: &["f36-what-is-lost-stays-lost"],
        },
    }
}
