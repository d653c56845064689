use super::{Event, MessageId, Record, RequestId};
use crate::base::{RequestName, Stamp, Value};

/// The canonical encoding: a tag for the event, then its fields in their declared order. Numbers are 8 bytes,
/// little-endian; texts and lists are preceded by their length, so that no two events encode alike.
pub(super) fn encode(record: &Record, out: &mut Vec<u8>) {
    let mut encoder = Encoder(out);
    encoder.numbers([record.at.0, record.node.code(), record.incarnation]);
    match &record.event {
        Event::InvokeSet { operation, target, key, value, request_id, if_version } => {
            encoder
                .condition(*if_version)
                .name(request_id.as_ref())
                .tag(1)
                .number(*operation)
                .number(target.code())
                .text(key.as_str())
                .text(value.as_json());
        }
        Event::InvokeDelete { operation, target, key, request_id, if_version } => {
            encoder
                .condition(*if_version)
                .name(request_id.as_ref())
                .tag(24)
                .number(*operation)
                .number(target.code())
                .text(key.as_str());
        }
        Event::InvokeGet { operation, target, key, mode } => {
            encoder.tag(2).number(*operation).number(target.code()).text(key.as_str()).number(*mode as u64);
        }
        Event::Return { operation, outcome, stamp, value, confirmed } => {
            encoder.tag(3).number(*operation).number(*outcome as u64).option(*stamp, Encoder::stamp);
            encoder.option(value.as_ref(), |encoder, value| encoder.text(value.as_json()));
            encoder.option(*confirmed, |encoder, (n, of)| encoder.number(n as u64).number(of as u64));
        }
        Event::Accept { write, key, stamp, value, operation, request_id } => {
            encoder.name(request_id.as_ref()).tag(4);
            encoder.number(*write).text(key.as_str()).stamp(*stamp).content(value.as_ref());
            if value.is_none() || request_id.is_some() {
                encoder.option(*operation, Encoder::number);
            }
        }
        Event::Retry { write, key, stamp, value, operation, request_id } => {
            encoder.name(request_id.as_ref()).tag(26);
            encoder.number(*write).text(key.as_str()).stamp(*stamp).content(value.as_ref());
            encoder.option(*operation, Encoder::number);
        }
        Event::Send { message, delay, lost, copy } => {
            let MessageId { write, to, attempt } = *message;
            encoder.tag(5).numbers([write, to.0.into(), attempt.into(), delay.0]);
            encoder.option(*lost, |encoder, lost| encoder.number(lost as u64));
            encoder.option(*copy, |encoder, copy| encoder.number(copy.0));
        }
        Event::Rpc { to, rpc, number, delay, lost, copy } => {
            encoder.tag(40).numbers([to.0.into(), *rpc as u64, *number, delay.0]);
            encoder.option(*lost, |encoder, lost| encoder.number(lost as u64));
            encoder.option(*copy, |encoder, copy| encoder.number(copy.0));
        }
        Event::Dispatch { request, to, messages } => {
            let RequestId { incarnation, number } = *request;
            encoder.tag(6).numbers([incarnation, number, to.0.into(), messages.len() as u64]);
            for message in messages {
                encoder.message(*message);
            }
        }
        Event::Apply { request, key, stamp, value } => {
            encoder.tag(7).option(*request, Encoder::request).text(key.as_str()).stamp(*stamp).content(value.as_ref());
        }
        Event::Reject { request, key, stamp, stored } => {
            encoder.tag(8).option(*request, Encoder::request).text(key.as_str()).stamp(*stamp).stamp(*stored);
        }
        Event::Ack { message, stored } => {
            let MessageId { write, to, attempt } = *message;
            let (epoch, version) = (stored.epoch.get(), stored.version.get());
            encoder.tag(9).numbers([write, to.0.into(), attempt.into(), epoch, version]);
        }
        Event::Lost { message, reason } => {
            encoder.tag(10).message(*message).number(*reason as u64);
        }
        Event::Complete { write, ok, confirmations } => {
            encoder.tag(11).numbers([*write, u64::from(*ok), *confirmations as u64]);
        }
        Event::Fault { kind, nodes, latency, what } => {
            encoder.tag(12).number(*kind as u64).number(nodes.len() as u64);
            for node in nodes {
                encoder.number(node.code());
            }
            encoder.option(*latency, |encoder, latency| encoder.number(latency.0)).text(what);
        }
        Event::Recover { key, stamp, value } => {
            encoder.tag(16).text(key.as_str()).stamp(*stamp).content(value.as_ref());
        }
        Event::Recovered { epoch, from, anew } => {
            encoder.tag(17).number(epoch.get()).number(u64::from(*anew)).number(from.len() as u64);
            for id in from {
                encoder.number(id.0.into());
            }
        }
        Event::Serve { epoch } => {
            encoder.tag(18).number(epoch.get());
        }
        Event::Require { write_quorum, members } => {
            encoder.tag(27).number(*write_quorum as u64);
            if !members.is_empty() {
                encoder.number(members.len() as u64);
                for member in members {
                    encoder.text(&member.to_string());
                }
            }
        }
        Event::StepDown { promised } => {
            encoder.tag(19).number(promised.get());
        }
        Event::Forgot { follower } => {
            encoder.tag(23).number(follower.0.into());
        }
        Event::Astray { follower, by } => {
            encoder.tag(29).numbers([follower.0.into(), by.0.into()]);
        }
        Event::Promise { epoch, leader } => {
            encoder.tag(20).numbers([epoch.get(), *leader]);
        }
        Event::Stage { epoch, parts } => {
            encoder.tag(28).numbers([epoch.get(), *parts]);
        }
        Event::Install { epoch } => {
            encoder.tag(21).number(epoch.get());
        }
        Event::Discard { key, stamp } => {
            encoder.tag(22).text(key.as_str()).stamp(*stamp);
        }
        Event::Collect { key, stamp } => {
            encoder.tag(25).text(key.as_str()).stamp(*stamp);
        }
        Event::LoseKey { key, stamp } => {
            encoder.tag(30).text(key.as_str()).stamp(*stamp);
        }
        Event::Crash => {
            encoder.tag(13);
        }
        Event::Restart => {
            encoder.tag(14);
        }
        Event::Cluster { followers, write_quorum, repl_timeout, delay: (shortest, longest), link, window, spares } => {
            encoder.tag(15).number(*followers as u64).number(*write_quorum as u64).number(repl_timeout.0);
            encoder.number(shortest.0).number(longest.0).number(link.0).number(*window as u64);
            if *spares > 0 {
                encoder.number(*spares as u64);
            }
        }
    }
}

struct Encoder<'a>(&'a mut Vec<u8>);

impl Encoder<'_> {
    fn tag(&mut self, tag: u8) -> &mut Self {
        self.0.push(tag);
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    /// Several at once, which is faster than one after another.
    fn numbers<const N: usize>(&mut self, numbers: [u64; N]) -> &mut Self {
        self.0.extend_from_slice(numbers.map(u64::to_le_bytes).as_flattened());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A value, or that there is none: a length that no text has.
    fn content(&mut self, value: Option<&Value>) -> &mut Self {
        match value {
            Some(value) => self.text(value.as_json()),
            None => self.number(u64::MAX),
        }
    }

    /// The name of a write, before its event. What has none is encoded as if there were no such thing.
    fn name(&mut self, name: Option<&RequestName>) -> &mut Self {
        match name {
            Some(name) => self.tag(0).text(name.as_str()),
            None => self,
        }
    }

    /// The condition of a write, before its event, like its name.
    fn condition(&mut self, if_version: Option<u64>) -> &mut Self {
        match if_version {
            Some(version) => self.tag(255).number(version),
            None => self,
        }
    }

    fn stamp(&mut self, stamp: Stamp) -> &mut Self {
        self.numbers([stamp.epoch.get(), stamp.version.get()])
    }

    fn message(&mut self, message: MessageId) -> &mut Self {
        self.numbers([message.write, message.to.0.into(), message.attempt.into()])
    }

    fn request(&mut self, request: RequestId) -> &mut Self {
        self.numbers([request.incarnation, request.number])
    }

    fn option<T>(&mut self, option: Option<T>, some: impl Fn(&mut Self, T) -> &mut Self) -> &mut Self {
        match option {
            None => self.tag(0),
            Some(value) => some(self.tag(1), value),
        }
    }
}
