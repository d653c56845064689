//! What the nodes of a cluster say of themselves, as a table.

use std::fmt;

use super::table;
use crate::base::wire::{FollowerReport, Status};

/// A node that was asked for its status, and what it answered.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedNode {
    /// Its address.
    pub address: String,
    /// Its status; or why there is none, as a sentence.
    pub answer: Result<Status, String>,
}

/// Shows a cluster: a line for each node, then what its leaders say of their followers, then what is wrong and what to do.
#[derive(Debug)]
pub struct StatusReport<'a>(pub &'a [AskedNode]);

impl fmt::Display for StatusReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["node", "role", "ready", "epoch", "keys", "last heard"];
        let rows = self.0.iter().map(|node| match &node.answer {
            Ok(status) => {
                let heard = status.leader.as_ref().map(|leader| ago(Some(leader.heard_ago_s)));
                let (epoch, keys) = (status.epoch.to_string(), status.keys.to_string());
                let ready = if status.ready { "yes" } else { "no" };
                [node.address.clone(), status.role.clone(), ready.into(), epoch, keys, heard.unwrap_or_default()]
            }
            Err(_) => {
                [node.address.clone(), "–".into(), "no answer".into(), String::new(), String::new(), String::new()]
            }
        });
        f.write_str(&table::left([header.map(str::to_owned)].into_iter().chain(rows)))?;
        for (address, status) in self.answers().filter(|(_, status)| !status.followers.is_empty()) {
            let quorum = status.write_quorum.unwrap_or(0);
            writeln!(f, "\nFollowers of {address}, of which {quorum} must confirm a write")?;
            let header = ["", "address", "counts", "progress", "in flight", "keys behind", "for", "last heard"];
            let rows = status.followers.iter().map(of_follower);
            f.write_str(&table::left([header.map(str::to_owned)].into_iter().chain(rows)))?;
        }
        let rivals = self.rivals();
        let rivals = (rivals.len() > 1).then(|| {
            let names = rivals.join(" and ");
            format!(
                "{names} are leaders of the same followers: each deposes the other again and again; stop all but one"
            )
        });
        let misplaced = self.answers().flat_map(|(leader, status)| {
            let is_leader = |follower: &&FollowerReport| self.leaders().any(|other| other == follower.address);
            status.followers.iter().filter(is_leader).map(move |follower| {
                let address = &follower.address;
                format!("{address} is a leader, and {leader} lists it as a follower: correct FOLLOWERS of {leader}")
            })
        });
        let is_headless = !self.0.is_empty() && self.leaders().next().is_none();
        let headless = is_headless.then(|| {
            "none of these nodes is a leader: start one with ROLE=leader and their addresses in FOLLOWERS, or name the one there is".to_owned()
        });
        let mut problems =
            headless.into_iter().chain(rivals).chain(misplaced).chain(self.0.iter().filter_map(problem)).peekable();
        if problems.peek().is_some() {
            f.write_str("\n")?;
        }
        problems.try_for_each(|problem| writeln!(f, "{problem}"))
    }
}

impl StatusReport<'_> {
    /// The addresses of the nodes that were started as leaders, in a cluster that has one.
    pub fn leaders(&self) -> impl Iterator<Item = &str> {
        self.answers().filter(|(_, status)| status.serves.is_some()).map(|(address, _)| address)
    }

    /// The leaders that have a follower in common with another one.
    fn rivals(&self) -> Vec<&str> {
        let shares = |(leader, status): &(&str, &Status)| {
            let mut others =
                self.answers().filter(|(other, _)| other != leader).flat_map(|(_, other)| &other.followers);
            others.any(|other| status.followers.iter().any(|follower| follower.address == other.address))
        };
        self.answers().filter(shares).map(|(leader, _)| leader).collect()
    }

    fn answers(&self) -> impl Iterator<Item = (&str, &Status)> {
        self.0.iter().filter_map(|node| Some((node.address.as_str(), node.answer.as_ref().ok()?)))
    }
}

fn of_follower(report: &FollowerReport) -> [String; 8] {
    let FollowerReport {
        follower, address, counts, progress, in_flight, keys_behind, behind_for_s, heard_ago_s, ..
    } = report;
    let counts = if *counts { "yes" } else { "no" };
    let behind_for = behind_for_s.map(|seconds| format!("{seconds:.0} s")).unwrap_or_default();
    [
        follower.clone(),
        address.clone(),
        counts.into(),
        if progress == "current" && *keys_behind > 0 { "behind" } else { in_words(progress) }.into(),
        in_flight.to_string(),
        keys_behind.to_string(),
        behind_for,
        ago(*heard_ago_s),
    ]
}

/// How far a follower is, for people.
fn in_words(progress: &str) -> &str {
    match progress {
        "current" => "up to date",
        "behind" => "catching up",
        "unconfirmed" => "restarted empty",
        "unpromised" => "has not joined",
        "doubted" => "no answer",
        "elsewhere" => "another node",
        "legacy" => "no epochs",
        other => other,
    }
}

fn ago(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "never".into(), |seconds| format!("{seconds:.1} s ago"))
}

/// What is wrong with a node, and what to do.
fn problem(node: &AskedNode) -> Option<String> {
    match &node.answer {
        Err(why) => Some(format!("{}: {why}", node.address)),
        Ok(status) if !status.ready => Some(format!("{} is not ready: {}", node.address, status.detail)),
        // A leader that is ready may have followers all the same that do not count, or to which not all goes well.
        Ok(status) if status.attention => Some(format!("{} is ready: {}", node.address, status.detail)),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::wire::LeaderReport;

    fn follower(counts: bool) -> FollowerReport {
        FollowerReport {
            follower: "f1".into(),
            address: "a:1".into(),
            counts,
            progress: if counts { "current" } else { "unconfirmed" }.into(),
            in_flight: 0,
            keys_behind: if counts { 0 } else { 12 },
            behind_for_s: (!counts).then_some(7.4),
            heard_ago_s: Some(0.25),
            max_body: Some(16 << 20),
            sending: None,
            last_error: None,
            why: None,
        }
    }

    fn leader(followers: Vec<FollowerReport>) -> Status {
        let detail = "1 of 2 followers count, 2 must for a write; a:1: has restarted".into();
        let ready = followers.iter().all(|follower| follower.counts);
        let (write_quorum, serves) = (Some(2), Some(true));
        Status {
            role: "leader".into(),
            ready,
            detail,
            attention: !ready,
            epoch: 3,
            keys: 12,
            max_body: 16 << 20,
            write_quorum,
            serves,
            followers,
            leader: None,
        }
    }

    #[test]
    fn a_cluster_is_shown_with_what_is_wrong() {
        let leads = LeaderReport { address: Some("l:0".into()), heard_ago_s: 1.0 };
        let of_follower = Status {
            role: "follower".into(),
            ready: true,
            detail: "follows its leader".into(),
            write_quorum: None,
            serves: None,
            leader: Some(leads),
            ..leader(Vec::new())
        };
        let nodes = [
            AskedNode { address: "l:0".into(), answer: Ok(leader(vec![follower(false)])) },
            AskedNode { address: "a:1".into(), answer: Ok(of_follower) },
            AskedNode { address: "b:2".into(), answer: Err("cannot connect".into()) },
        ];
        let expected = "  node  role      ready      epoch  keys  last heard
  l:0   leader    no         3      12
  a:1   follower  yes        3      12    1.0 s ago
  b:2   –         no answer

Followers of l:0, of which 2 must confirm a write
      address  counts  progress         in flight  keys behind  for  last heard
  f1  a:1      no      restarted empty  0          12           7 s  0.2 s ago

l:0 is not ready: 1 of 2 followers count, 2 must for a write; a:1: has restarted
b:2: cannot connect
";
        assert_eq!(StatusReport(&nodes).to_string(), expected);
    }

    #[test]
    fn what_a_person_should_look_at_is_shown_of_a_node_that_is_ready() {
        let shown = |attention| {
            let status = Status { attention, detail: "a:1: restarted 3 times".into(), ..leader(vec![follower(true)]) };
            StatusReport(&[AskedNode { address: "l:0".into(), answer: Ok(status) }]).to_string()
        };
        assert!(shown(true).ends_with("\nl:0 is ready: a:1: restarted 3 times\n"));
        assert!(!shown(false).contains("restarted"));
    }

    #[test]
    fn that_there_is_no_leader_is_said() {
        let alone = Status { role: "follower".into(), serves: None, ..leader(Vec::new()) };
        let nodes = [AskedNode { address: "a:1".into(), answer: Ok(alone) }];
        assert!(StatusReport(&nodes).to_string().contains("\nnone of these nodes is a leader: start one"));
    }

    #[test]
    fn two_leaders_are_named() {
        let node = |address: &str| AskedNode { address: address.into(), answer: Ok(leader(vec![follower(true)])) };
        let nodes = [node("l:0"), node("m:0")];
        assert!(StatusReport(&nodes).to_string().contains("\nl:0 and m:0 are leaders of the same followers: each"));
    }

    /// Another cluster's leader was listed by mistake, and is none of this one's business.
    #[test]
    fn a_leader_that_is_listed_as_a_follower_is_named() {
        let listed = FollowerReport { address: "m:0".into(), ..follower(false) };
        let other = FollowerReport { address: "b:2".into(), ..follower(true) };
        let nodes = [("l:0", listed), ("m:0", other)]
            .map(|(address, follower)| AskedNode { address: address.into(), answer: Ok(leader(vec![follower])) });
        let report = StatusReport(&nodes).to_string();
        assert!(
            report.contains("m:0 is a leader, and l:0 lists it as a follower: correct FOLLOWERS of l:0\n"),
            "{report}"
        );
        assert!(!report.contains("deposes"), "{report}");
    }

    #[test]
    fn a_cluster_in_which_all_is_well_is_shown_without_a_further_word() {
        let nodes = [AskedNode { address: "l:0".into(), answer: Ok(leader(vec![follower(true)])) }];
        assert!(StatusReport(&nodes).to_string().ends_with("0.2 s ago\n"));
    }
}
