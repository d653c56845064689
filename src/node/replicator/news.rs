//! What a leader says of what has become of it and its followers: to the log, the metrics and an observer.

use tracing::{debug, info, warn};

use super::{Replicator, State};
use crate::base::{FollowerId, FollowerSet};
use crate::core::News;

impl Replicator {
    /// Says what a person or a checker wants to know.
    pub(super) fn tell(&self, state: &State, news: &News) {
        if self.observer.is_some() {
            news.events(state.leader.store()).into_iter().for_each(|event| self.observe(|| event));
        }
        match news {
            News::Recovered { .. } => drop(self.metrics.recoveries.inc()),
            News::SteppedDown { .. } => {
                self.metrics.step_downs.inc();
                self.was_deposed();
            }
            News::Forgot { follower, .. } => self.contacts.restarted(*follower, self.clock.now()),
            _ => {}
        }
        let name = |id: &FollowerId| self.names[id.index()].as_str();
        match news {
            News::Recovered { epoch, keys, from, accepted: Some(loss), .. } => {
                let named = |ids: &FollowerSet| ids.iter().map(|id| name(&id)).collect::<Vec<_>>().join(",");
                let (silent, restarted_empty) = (named(&loss.silent), named(&loss.forgetful));
                if from.is_empty() {
                    warn!(
                        epoch = epoch.get(),
                        silent,
                        restarted_empty,
                        "the loss is accepted, and nobody remembers anything: all that was acknowledged is lost, and the cluster begins empty"
                    );
                } else {
                    warn!(
                        epoch = epoch.get(),
                        keys,
                        from = named(from),
                        silent,
                        restarted_empty,
                        "the loss is accepted: what was acknowledged and only silent or restarted followers had is lost"
                    );
                }
            }
            News::Recovered { epoch, anew: true, .. } => {
                info!(
                    epoch = epoch.get(),
                    "no follower remembers anything: the cluster begins empty, as at a first start"
                );
            }
            News::Recovered { epoch, keys, from, .. } => {
                let (epoch, followers) = (epoch.get(), from.len());
                info!(epoch, keys, followers, "recovered what was acknowledged; bringing it to a quorum");
            }
            News::Serving(epoch) => info!(epoch = epoch.get(), "serving writes and reads"),
            News::SteppedDown { promised, .. } => {
                warn!(
                    promised = promised.get(),
                    "stepping down, because followers have promised another leader: writes in flight are left open; stop one of the two"
                );
            }
            News::CaughtUp { follower, .. } => info!(follower = name(follower), "the follower is up to date"),
            News::Forgot { follower, .. } => {
                warn!(
                    follower = name(follower),
                    "the follower restarted empty, or another node has its name: it counts again once it has been brought up to date"
                );
            }
            News::Astray { follower, by, .. } => warn!(
                follower = name(follower),
                answered_by = name(by),
                "another follower answers under this one's name, and is not taken for it; is it listed twice?"
            ),
            News::Collected(deletions) => {
                debug!(keys = deletions.len(), "all followers know of deletions: they are forgotten")
            }
            News::Legacy(follower) => warn!(
                follower = name(follower),
                "the follower does not know epochs: it gets writes, and counts neither for a quorum nor for a recovery"
            ),
        }
    }
}
